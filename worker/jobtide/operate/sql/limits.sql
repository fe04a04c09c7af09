-- The limits of one tenant that hold now in some pools, as claims keep them (sql/lock_tenants.sql): each value from the pool's
-- own row, else from that of all pools (''), else from the pool. The limit of one type holds beside it, and is of all pools.
-- A pool that the controller has not stored has no row.
--
-- Parameters: pools text[] (namespace/name; NULL: all that are stored), tenant uuid, type text, most int
-- Index:      jobtide_pool_limits_pkey; jobtide_tenant_limits_pkey, three probes a pool
-- Bounds:     `most` pools
SELECT
    header.pool,
    coalesce(own.max_concurrent, shared.max_concurrent, header.max_concurrent) AS cap,
    date_part('epoch', nullif(
        CASE WHEN own.max_concurrent IS NOT NULL THEN own.until WHEN shared.max_concurrent IS NOT NULL THEN shared.until END,
        'infinity'
    )) AS cap_until,
    typed.max_concurrent AS type_cap,
    date_part('epoch', nullif(typed.until, 'infinity')) AS type_cap_until
FROM (
    (
        SELECT named.pool, named.max_concurrent
        FROM jobtide_pool_limits AS named
        WHERE named.pool = ANY(%(pools)s::text[])
    )
    UNION ALL
    (
        SELECT stored.pool, stored.max_concurrent
        FROM jobtide_pool_limits AS stored
        ORDER BY stored.pool
        LIMIT CASE WHEN %(pools)s::text[] IS NULL THEN %(most)s::int ELSE 0 END
    )
) AS header
LEFT JOIN LATERAL (
    SELECT one.max_concurrent, one.until
    FROM jobtide_tenant_limits AS one
    WHERE one.pool = header.pool AND one.tenant_id = %(tenant)s::uuid AND one.type = '' AND one.until > now()
    LIMIT 1
) AS own ON true
LEFT JOIN LATERAL (
    SELECT one.max_concurrent, one.until
    FROM jobtide_tenant_limits AS one
    WHERE one.pool = '' AND one.tenant_id = %(tenant)s::uuid AND one.type = '' AND one.until > now()
    LIMIT 1
) AS shared ON true
LEFT JOIN LATERAL (
    SELECT one.max_concurrent, one.until
    FROM jobtide_tenant_limits AS one
    WHERE one.pool = '' AND one.tenant_id = %(tenant)s::uuid AND one.type = %(type)s::text AND one.until > now()
    LIMIT 1
) AS typed ON true
