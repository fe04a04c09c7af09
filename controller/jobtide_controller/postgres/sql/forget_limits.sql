-- Deletes the stored limits of pools that are gone.
--
-- Parameters: pools text[]
-- Index:      jobtide_pool_limits_pkey, jobtide_tenant_limits_pkey
-- Bounds:     the rows of these pools
WITH gone AS (
    DELETE FROM jobtide_tenant_limits AS old WHERE old.pool = ANY(%(pools)s::text[]) RETURNING old.pool
)
DELETE FROM jobtide_pool_limits AS old
WHERE old.pool = ANY(%(pools)s::text[])
RETURNING old.pool
