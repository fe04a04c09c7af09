-- Makes the stored limits of some pools what they should be, and wakes the workers that listen if that changed any.
--
-- Parameters: pools text[], pool_caps int[] (NULL: no limit), row_pools text[], tenants uuid[], types text[], caps int[],
--             weights int[], untils float8[] (seconds since the epoch; NULL: no end)
-- Index:      jobtide_pool_limits_pkey, jobtide_tenant_limits_pkey
-- Bounds:     the rows of these pools, before and after
-- Returns:    changed: rows that were written or deleted
WITH pool AS MATERIALIZED (
    SELECT * FROM unnest(%(pools)s::text[], %(pool_caps)s::int[]) AS pool (pool, max_concurrent)
),
given AS MATERIALIZED (
    SELECT
        given.pool, given.tenant_id, given.type, given.max_concurrent, given.weight,
        coalesce(to_timestamp(given.until), 'infinity') AS until
    FROM
        unnest(
            %(row_pools)s::text[], %(tenants)s::uuid[], %(types)s::text[], %(caps)s::int[], %(weights)s::int[],
            %(untils)s::float8[]
        ) AS given (pool, tenant_id, type, max_concurrent, weight, until)
),
gone AS (
    DELETE FROM jobtide_tenant_limits AS old
    USING pool
    WHERE
        old.pool = pool.pool
        AND NOT EXISTS (
            SELECT
            FROM given
            WHERE given.pool = old.pool AND given.tenant_id = old.tenant_id AND given.type = old.type
        )
    RETURNING old.pool
),
put AS (
    INSERT INTO jobtide_tenant_limits AS old (pool, tenant_id, type, max_concurrent, weight, until)
    SELECT given.pool, given.tenant_id, given.type, given.max_concurrent, given.weight, given.until FROM given
    ON CONFLICT (pool, tenant_id, type) DO UPDATE
        SET max_concurrent = excluded.max_concurrent, weight = excluded.weight, until = excluded.until
        WHERE
            (old.max_concurrent, old.weight, old.until)
            IS DISTINCT FROM (excluded.max_concurrent, excluded.weight, excluded.until)
    RETURNING old.pool
),
headed AS (
    INSERT INTO jobtide_pool_limits AS old (pool, max_concurrent, types)
    SELECT pool.pool, pool.max_concurrent, coalesce(limited.types, '{}')
    FROM pool
    LEFT JOIN (
        SELECT given.pool, array_agg(DISTINCT given.type ORDER BY given.type) AS types FROM given GROUP BY given.pool
    ) AS limited ON pool.pool = limited.pool
    ON CONFLICT (pool) DO UPDATE
        SET max_concurrent = excluded.max_concurrent, types = excluded.types
        WHERE (old.max_concurrent, old.types) IS DISTINCT FROM (excluded.max_concurrent, excluded.types)
    RETURNING old.pool
),
counted AS MATERIALIZED (
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM put) + (SELECT count(*) FROM headed) AS changed
)
SELECT
    counted.changed,
    CASE
        WHEN counted.changed > 0 AND has_function_privilege('pg_notify(text, text)', 'EXECUTE') THEN pg_notify('jobtide', '')
    END AS notified
FROM counted
