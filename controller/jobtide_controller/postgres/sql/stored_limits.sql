-- The limits of the view as they were last stored: a controller that starts beside a broken view goes on with them.
--
-- Index:      jobtide_tenant_limits_pkey
-- Bounds:     the rows of the view, at most 10,000
SELECT
    old.tenant_id, nullif(old.type, '') AS type, old.max_concurrent, old.weight,
    date_part('epoch', old.until) AS until
FROM jobtide_tenant_limits AS old
WHERE old.pool = ''
LIMIT 10000
