-- Whether the tables with the limits of tenants are there, and whether this role may read them.
--
-- Index:      none, no table is touched
SELECT
    count(*) = 2 AS found,
    coalesce(bool_and(has_table_privilege(named.oid, 'SELECT')), false) AS readable
FROM unnest(ARRAY[to_regclass('jobtide_pool_limits'), to_regclass('jobtide_tenant_limits')]) AS named (oid)
WHERE named.oid IS NOT NULL
