-- What: three group roles, jobtide_worker, jobtide_controller and jobtide_operator, with exactly the rights that each
--       uses.
-- Why:  no pod needs a superuser or service_role. Create a login in one of them:
--         CREATE ROLE my_worker LOGIN PASSWORD '...' IN ROLE jobtide_worker;
--       None can read users or create objects; the controller can't read payloads. The worker deletes no job; controller
--       (retention) and operator delete ended ones only.
--       Policies instead of BYPASSRLS: that attribute is not inherited and often can't be granted.
-- Lock: ACCESS EXCLUSIVE on job_queue for the moment of each CREATE POLICY.
DO $roles$
DECLARE
  job_queue_schema regnamespace := (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('job_queue'));
BEGIN
  IF to_regrole('jobtide_worker') IS NULL THEN
    BEGIN CREATE ROLE jobtide_worker NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
  END IF;
  IF to_regrole('jobtide_controller') IS NULL THEN
    BEGIN CREATE ROLE jobtide_controller NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
  END IF;

  IF to_regrole('jobtide_operator') IS NULL THEN
    BEGIN CREATE ROLE jobtide_operator NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
  END IF;

  IF NOT has_schema_privilege('jobtide_worker', job_queue_schema::oid, 'USAGE')
    OR NOT has_schema_privilege('jobtide_controller', job_queue_schema::oid, 'USAGE')
    OR NOT has_schema_privilege('jobtide_operator', job_queue_schema::oid, 'USAGE') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO jobtide_worker, jobtide_controller, jobtide_operator', job_queue_schema);
  END IF;

  -- Claims, leases and ends; never the tenant, type or payload of a job.
  GRANT UPDATE (status, worker_id, attempts, next_retry_at, result, completed_at) ON job_queue TO jobtide_worker;
  -- The rescue of jobs whose pod is gone. An earlier version granted two more columns.
  IF has_column_privilege('jobtide_controller', to_regclass('job_queue')::oid, 'completed_at', 'UPDATE') THEN
    REVOKE UPDATE (worker_id, completed_at) ON job_queue FROM jobtide_controller;
  END IF;
  GRANT UPDATE (status, attempts, next_retry_at, result) ON job_queue TO jobtide_controller;
  -- Retention: which rows, says a policy below.
  GRANT DELETE ON job_queue TO jobtide_controller;
  -- Follow-up jobs and schedules are ordinary new jobs.
  GRANT INSERT (id, tenant_id, type, payload, next_retry_at) ON job_queue TO jobtide_worker;
  GRANT SELECT ON job_queue TO jobtide_worker;
  GRANT SELECT (id, tenant_id, type, status, result, worker_id, attempts, next_retry_at, created_at, completed_at)
    ON job_queue TO jobtide_controller;
  -- `jobtide jobs` and the page: all columns are read, and those of a retry, a cancel and a run-now written.
  GRANT SELECT, DELETE ON job_queue TO jobtide_operator;
  GRANT UPDATE (status, worker_id, attempts, next_retry_at, result, completed_at) ON job_queue TO jobtide_operator;
  -- The limits of tenants: the controller writes them, the others read them.
  GRANT SELECT ON jobtide_pool_limits, jobtide_tenant_limits TO jobtide_worker, jobtide_operator;
  GRANT SELECT, INSERT, UPDATE, DELETE ON jobtide_pool_limits, jobtide_tenant_limits TO jobtide_controller;
  IF NOT EXISTS (
    SELECT FROM pg_policy
    WHERE polrelid = to_regclass('jobtide_tenant_limits') AND polname = 'jobtide_limits_write_policy'
  ) THEN
    CREATE POLICY jobtide_limits_write_policy ON jobtide_pool_limits FOR ALL TO jobtide_controller
      USING (true) WITH CHECK (true);
    CREATE POLICY jobtide_limits_write_policy ON jobtide_tenant_limits FOR ALL TO jobtide_controller
      USING (true) WITH CHECK (true);
  END IF;

  IF NOT EXISTS (
    SELECT FROM pg_policy WHERE polrelid = to_regclass('job_queue') AND polname = 'jobtide_worker_policy'
  ) THEN
    CREATE POLICY jobtide_worker_policy ON job_queue FOR ALL TO jobtide_worker USING (true) WITH CHECK (true);
  END IF;
  -- An earlier version's policy let the controller change every row.
  IF EXISTS (
    SELECT FROM pg_policy
    WHERE polrelid = to_regclass('job_queue') AND polname = 'jobtide_controller_policy' AND polcmd = '*'
  ) THEN
    DROP POLICY jobtide_controller_policy ON job_queue;
  END IF;
  IF NOT EXISTS (
    SELECT FROM pg_policy WHERE polrelid = to_regclass('job_queue') AND polname = 'jobtide_controller_policy'
  ) THEN
    CREATE POLICY jobtide_controller_policy ON job_queue FOR SELECT TO jobtide_controller USING (true);
  END IF;
  -- Only a running job of a worker, and only back to pending: no ended job is reopened, no result forged.
  IF NOT EXISTS (
    SELECT FROM pg_policy WHERE polrelid = to_regclass('job_queue') AND polname = 'jobtide_controller_rescue_policy'
  ) THEN
    CREATE POLICY jobtide_controller_rescue_policy ON job_queue FOR UPDATE TO jobtide_controller
      USING (status = 'processing' AND starts_with(worker_id, 'jobtide:')) WITH CHECK (status = 'pending');
  END IF;
  -- No waiting and no running job, of any worker.
  IF NOT EXISTS (
    SELECT FROM pg_policy WHERE polrelid = to_regclass('job_queue') AND polname = 'jobtide_controller_retention_policy'
  ) THEN
    CREATE POLICY jobtide_controller_retention_policy ON job_queue FOR DELETE TO jobtide_controller
      USING (status IN ('completed', 'failed'));
  END IF;
  IF NOT EXISTS (
    SELECT FROM pg_policy WHERE polrelid = to_regclass('job_queue') AND polname = 'jobtide_operator_policy'
  ) THEN
    CREATE POLICY jobtide_operator_policy ON job_queue FOR SELECT TO jobtide_operator USING (true);
  END IF;
  -- A failed job becomes pending, a pending one is due earlier, both and a running one of Jobtide end as cancelled. So
  -- no completed job changes, and an operator starts none, completes none and writes no other error.
  IF NOT EXISTS (
    SELECT FROM pg_policy WHERE polrelid = to_regclass('job_queue') AND polname = 'jobtide_operator_change_policy'
  ) THEN
    CREATE POLICY jobtide_operator_change_policy ON job_queue FOR UPDATE TO jobtide_operator
      USING (status IN ('pending', 'failed') OR (status = 'processing' AND starts_with(worker_id, 'jobtide:')))
      WITH CHECK (
        (status = 'pending' AND completed_at IS NULL)
        OR (status = 'failed' AND completed_at IS NOT NULL AND result #>> '{error,type}' = 'Cancelled')
      );
  END IF;
  IF NOT EXISTS (
    SELECT FROM pg_policy WHERE polrelid = to_regclass('job_queue') AND polname = 'jobtide_operator_purge_policy'
  ) THEN
    CREATE POLICY jobtide_operator_purge_policy ON job_queue FOR DELETE TO jobtide_operator
      USING (status IN ('completed', 'failed'));
  END IF;
END
$roles$;
