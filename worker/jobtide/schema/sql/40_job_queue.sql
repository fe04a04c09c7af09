-- What: the enum job_status, the table job_queue, its grants and its row level security.
-- Why:  the contract between applications, workers and the controller. An existing job_queue is not changed,
--       nor are its policies: the next files only add missing indexes.
-- Lock: SHARE ROW EXCLUSIVE on tenants for a moment, for the foreign key.
DO $job_queue$
BEGIN
  IF to_regclass('job_queue') IS NOT NULL THEN RETURN; END IF;

  IF to_regtype('job_status') IS NULL THEN
    CREATE TYPE job_status AS ENUM ('pending', 'processing', 'completed', 'failed');
  END IF;

  CREATE TABLE job_queue (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    type text NOT NULL,
    status job_status NOT NULL DEFAULT 'pending',
    payload jsonb DEFAULT '{}',
    result jsonb DEFAULT '{}',
    worker_id text,
    attempts integer NOT NULL DEFAULT 0,
    next_retry_at timestamptz,
    created_at timestamptz DEFAULT now(),
    completed_at timestamptz
  ) WITH (
    -- Every job leaves dead rows at the head of the queue; the default, a fifth of the table, is too late.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000
  );

  IF NOT has_schema_privilege('authenticated', current_schema(), 'USAGE') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO authenticated, service_role', current_schema());
  END IF;
  -- Default privileges may have granted everything, and no policy limits TRUNCATE. 60_tenant_walls.sql grants the rest.
  REVOKE ALL ON job_queue FROM PUBLIC, anon, authenticated;
  GRANT SELECT, DELETE ON job_queue TO authenticated;
  GRANT SELECT, INSERT, UPDATE, DELETE ON job_queue TO service_role;
  PERFORM set_config('jobtide.tenant_walls', 'on', true);

  ALTER TABLE job_queue ENABLE ROW LEVEL SECURITY;
  -- Sub-selects are evaluated once a statement, not once a row.
  CREATE POLICY tenant_isolation_policy ON job_queue FOR ALL TO authenticated
    USING (tenant_id = (SELECT jobtide_current_tenant_id()))
    WITH CHECK (tenant_id = (SELECT jobtide_current_tenant_id()));
  CREATE POLICY super_admin_policy ON job_queue FOR ALL TO authenticated
    USING ((SELECT jobtide_is_super_admin()))
    WITH CHECK ((SELECT jobtide_is_super_admin()));
  CREATE POLICY service_role_policy ON job_queue FOR ALL TO service_role
    USING (true) WITH CHECK (true);
END
$job_queue$;
