-- What: an example of the view job_tenant_limits: limits of tenants from your own data. Change it, then run it.
-- Why:  the controller reads it about once a second, in at most 0.5 s, and workers keep what it says within 2 s.
--       tenant_id uuid, type text (NULL: all types together), max_concurrent integer (NULL: no limit, 0: paused),
--       weight integer (turns in the ring, 1 to 100; NULL: 1), until timestamptz (NULL: no end). At most 10,000 rows, so
--       leave out tenants without a limit. spec.tenants.overrides of a pool comes before it, and
--       spec.tenants.maxConcurrent after it.
-- Lock: none. The view reads with its owner's rights, and only the controller may read it.
CREATE OR REPLACE VIEW job_tenant_limits AS
SELECT
  t.id AS tenant_id,
  NULL::text AS type,
  CASE WHEN t.suspended_at IS NOT NULL THEN 0 WHEN t.plan = 'free' THEN 2 WHEN t.plan = 'team' THEN 16 END AS max_concurrent,
  CASE WHEN t.plan = 'team' THEN 3 END AS weight,
  NULL::timestamptz AS until
FROM tenants AS t
WHERE t.suspended_at IS NOT NULL OR t.plan IN ('free', 'team');
REVOKE ALL ON job_tenant_limits FROM PUBLIC, anon, authenticated;
GRANT SELECT ON job_tenant_limits TO jobtide_controller;
