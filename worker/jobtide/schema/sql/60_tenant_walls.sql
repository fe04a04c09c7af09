-- What: limits what a tenant's user may write: the id, tenant, type, payload and due time of a job that waits.
-- Why:  status, worker_id, attempts, result and the times are what workers and controller work by; a forged one would
--       count as a running or finished job. The policies hold even if someone grants the columns again.
--       An id of version 8 belongs to a unique key or a schedule, and begins with a digest of its tenant: a user who
--       inserted another tenant's next id would stop that key.
--       On a table that existed before, only with --tenant-walls: a client of yours may write more.
-- Lock: ACCESS EXCLUSIVE on job_queue for the moment of each CREATE POLICY.
DO $walls$
BEGIN
  IF coalesce(current_setting('jobtide.tenant_walls', true), '') <> 'on' THEN RETURN; END IF;

  REVOKE INSERT, UPDATE, TRUNCATE ON job_queue FROM PUBLIC, anon, authenticated;
  GRANT INSERT (id, tenant_id, type, payload, next_retry_at), UPDATE (tenant_id, type, payload, next_retry_at)
    ON job_queue TO authenticated;

  IF NOT EXISTS (
    SELECT FROM pg_policy WHERE polrelid = to_regclass('job_queue') AND polname = 'jobtide_tenant_insert_wall'
  ) THEN
    CREATE POLICY jobtide_tenant_insert_wall ON job_queue AS RESTRICTIVE FOR INSERT TO authenticated
      WITH CHECK (
        status = 'pending' AND attempts = 0 AND worker_id IS NULL AND completed_at IS NULL
        AND coalesce(result, '{}') = '{}'
        AND (
          substr(id::text, 15, 1) <> '8'
          OR left(id::text, 6) = left(encode(sha256(convert_to(tenant_id::text, 'UTF8')), 'hex'), 6)
        )
      );
  END IF;
  IF NOT EXISTS (
    SELECT FROM pg_policy WHERE polrelid = to_regclass('job_queue') AND polname = 'jobtide_tenant_update_wall'
  ) THEN
    CREATE POLICY jobtide_tenant_update_wall ON job_queue AS RESTRICTIVE FOR UPDATE TO authenticated
      USING (status = 'pending') WITH CHECK (status = 'pending');
  END IF;
END
$walls$;
