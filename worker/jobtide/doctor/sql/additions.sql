-- What: what of the newest schema this database has: the source of the trigger's function, roles and policies.
-- Reads: the catalogs; one row.
SELECT
  (
    SELECT p.prosrc FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
    WHERE t.tgrelid = to_regclass('job_queue') AND t.tgname = 'jobtide_wake'
  ) AS wake,
  ARRAY(SELECT r.rolname::text FROM pg_roles AS r WHERE r.rolname LIKE 'jobtide\_%') AS roles,
  ARRAY(
    SELECT p.polname::text FROM pg_policy AS p
    WHERE p.polrelid IN (to_regclass('job_queue'), to_regclass('jobtide_pool_limits'), to_regclass('jobtide_tenant_limits'))
  ) AS policies
