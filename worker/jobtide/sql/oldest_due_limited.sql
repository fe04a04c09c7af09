-- oldest_due.sql where tenants have limits: for how long the oldest job that a claim may start has been due, by type.
--
-- A job of a paused tenant, or of one that runs as many as it may, waits for its limit and not for a worker: it does not make its
-- type urgent. The limits are those of lock_tenants.sql; on a database without the table, queue/limits.py puts a CTE of its
-- name before these.
--
-- Parameters: types text[], firsts uuid[], lasts uuid[] (ranges of tenants, as in claim.sql), tenants int (of a range, at most),
--             counted text[], cap int, pool text, has_own bool, has_shared bool, has_typed bool (as in lock_tenants.sql)
-- Index:      idx_job_queue_due, one probe a tenant; idx_job_queue_running, at most `cap` entries a tenant with due jobs;
--             jobtide_tenant_limits_pkey, at most three probes a tenant
-- Bounds:     `tenants` index entries a range, and the dead ones before them
WITH lap AS (
    SELECT *
    FROM unnest((SELECT %(types)s::text[]), (SELECT %(firsts)s::uuid[]), (SELECT %(lasts)s::uuid[]))
        AS lap (type, first_tenant, last_tenant)
),
counted AS MATERIALIZED (
    SELECT * FROM unnest((SELECT %(counted)s::text[])) AS counted (type)
)
SELECT
    lap.type,
    -- -infinity (no created_at) and the zero time of some languages have no age: due long enough to be first
    date_part('epoch', now() - greatest(min(next_in_turn.due_at), '1900-01-01')) AS due_seconds
FROM lap
CROSS JOIN LATERAL (
    WITH RECURSIVE walk AS (
        (
            SELECT
                q.tenant_id,
                coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at
            FROM job_queue AS q
            WHERE
                q.status = 'pending'
                AND q.type = lap.type
                AND q.tenant_id >= lap.first_tenant
                AND q.tenant_id <= lap.last_tenant
            ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz)
            LIMIT 1
        )
        UNION ALL
        SELECT following.tenant_id, following.due_at
        FROM walk
        CROSS JOIN LATERAL (
            SELECT
                q.tenant_id,
                coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at
            FROM job_queue AS q
            WHERE
                q.status = 'pending'
                AND q.type = lap.type
                AND q.tenant_id > walk.tenant_id
                AND q.tenant_id <= lap.last_tenant
            ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz)
            LIMIT 1
        ) AS following
    )
    SELECT walk.tenant_id, walk.due_at FROM walk LIMIT (SELECT %(tenants)s::int)
) AS next_in_turn
-- LIMIT 1 keeps the planner from hashing all limits for each claim: there is one row at most.
LEFT JOIN LATERAL (
    SELECT own.max_concurrent
    FROM jobtide_tenant_limits AS own
    WHERE
        (SELECT %(has_own)s::bool)
        AND own.pool = (SELECT %(pool)s::text) AND own.tenant_id = next_in_turn.tenant_id AND own.type = '' AND own.until > now()
    LIMIT 1
) AS own ON true
LEFT JOIN LATERAL (
    SELECT shared.max_concurrent
    FROM jobtide_tenant_limits AS shared
    WHERE
        (SELECT %(has_shared)s::bool)
        AND shared.pool = '' AND shared.tenant_id = next_in_turn.tenant_id AND shared.type = '' AND shared.until > now()
    LIMIT 1
) AS shared ON true
LEFT JOIN LATERAL (
    SELECT typed.max_concurrent
    FROM jobtide_tenant_limits AS typed
    WHERE
        (SELECT %(has_typed)s::bool)
        AND typed.pool = '' AND typed.tenant_id = next_in_turn.tenant_id AND typed.type = lap.type AND typed.until > now()
    LIMIT 1
) AS typed ON true
CROSS JOIN LATERAL (
    SELECT
        coalesce(own.max_concurrent, shared.max_concurrent, (SELECT %(cap)s::int)) AS cap,
        coalesce(typed.max_concurrent, 2147483647) AS type_cap
    OFFSET 0
) AS allowed
WHERE
    next_in_turn.due_at <= now()
    AND (allowed.cap = 2147483647 OR allowed.cap > (
        SELECT count(*)
        FROM (
            SELECT
            FROM counted
            CROSS JOIN LATERAL (
                SELECT
                FROM job_queue AS q
                WHERE
                    q.status = 'processing' AND q.worker_id ^@ 'jobtide:' -- not what other consumers hold
                    AND q.type = counted.type AND q.tenant_id = next_in_turn.tenant_id
                ORDER BY q.type, q.tenant_id
            ) AS one
            LIMIT allowed.cap
        ) AS upto_cap
    )) AND (allowed.type_cap = 2147483647 OR allowed.type_cap > (
        SELECT count(*)
        FROM (
            SELECT
            FROM job_queue AS q
            WHERE
                q.status = 'processing' AND q.worker_id ^@ 'jobtide:'
                AND q.type = lap.type AND q.tenant_id = next_in_turn.tenant_id
            ORDER BY q.type, q.tenant_id
            LIMIT allowed.type_cap
        ) AS upto_type_cap
    ))
GROUP BY lap.type
