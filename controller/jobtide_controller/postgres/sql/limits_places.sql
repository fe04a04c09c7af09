-- Whether the tables with the limits of tenants are there, whether this role may write them, and whether there is the view
-- that a user may define.
--
-- Index:      none, no table is touched
SELECT
    count(*) = 2 AS has_tables,
    coalesce(bool_and(
        has_table_privilege(named.oid, 'SELECT') AND has_table_privilege(named.oid, 'INSERT')
        AND has_table_privilege(named.oid, 'UPDATE') AND has_table_privilege(named.oid, 'DELETE')
    ), FALSE) AS may_write,
    to_regclass('job_tenant_limits') IS NOT NULL AS has_view
FROM unnest(ARRAY[to_regclass('jobtide_pool_limits'), to_regclass('jobtide_tenant_limits')]) AS named (oid)
WHERE named.oid IS NOT NULL
