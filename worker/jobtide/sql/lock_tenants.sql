-- First half of a claim under tenant caps: chooses the keys that may give rows, and locks their tenants.
--
-- Counting and claiming in one statement would let two claims see the same free place. So a transaction first takes
-- an advisory lock for each tenant, and its second statement (claim_capped.sql), with a snapshot of its own, counts
-- and claims under these locks. A tenant that another transaction has locked is skipped, never waited for. The locks
-- end with the transaction, so they leave no session state and work behind a pooler.
--
-- Tenants that seem full are left out here, so that they can't crowd out others; claim_capped.sql counts again. A tenant
-- without a cap needs no lock.
--
-- The limits of a tenant: the pool's own row first, then that of all pools (''), each value by itself, then the pool's. The
-- cap of one type holds beside that of all types. On a database without the table, queue/limits.py puts a CTE of its
-- name before these: the limits of the worker's environment.
--
-- Parameters: types text[], firsts uuid[], lasts uuid[], sinces timestamptz[], since_ids uuid[]
--             (the lap, see claim.sql), wanted int,
--             counted text[] (the types of the whole pool: what counts against the cap),
--             cap int (of tenants without one of their own), pool text, has_own bool, has_shared bool, has_typed bool
--             (which kinds of rows there are)
-- Index:      idx_job_queue_due, one probe a key; idx_job_queue_running, at most `cap` entries a tenant;
--             jobtide_tenant_limits_pkey, at most three probes a key
-- Locks:      advisory locks, of at most `wanted` tenants
WITH lap AS (
    SELECT
        lap.*,
        coalesce(lap.since, '-infinity') AS first_due_at,
        coalesce(lap.since_id, '00000000-0000-0000-0000-000000000000'::uuid) AS first_id
    FROM
        unnest(
            (SELECT %(types)s::text[]), (SELECT %(firsts)s::uuid[]), (SELECT %(lasts)s::uuid[]),
            (SELECT %(sinces)s::timestamptz[]), (SELECT %(since_ids)s::uuid[])
        ) WITH ORDINALITY AS lap (type, first_tenant, last_tenant, since, since_id, position)
),
counted AS MATERIALIZED (
    SELECT * FROM unnest((SELECT %(counted)s::text[])) AS counted (type)
)
SELECT
    lap.type,
    tenant.tenant_id AS tenant,
    lap.position,
    CASE WHEN tenant.tenant_id = lap.first_tenant THEN lap.since END AS since,
    CASE WHEN tenant.tenant_id = lap.first_tenant THEN lap.since_id END AS since_id,
    allowed.cap, allowed.type_cap, allowed.weight
FROM lap
CROSS JOIN LATERAL (
    WITH RECURSIVE walk AS (
        (
            SELECT q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at
            FROM job_queue AS q
            WHERE
                q.status = 'pending'
                AND q.type = lap.type
                AND (q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id)
                    >= (lap.first_tenant, lap.first_due_at, lap.first_id)
                AND q.tenant_id <= lap.last_tenant
            ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz)
            LIMIT 1
        )
        UNION ALL
        SELECT following.tenant_id, following.due_at
        FROM walk
        CROSS JOIN LATERAL (
            SELECT q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at
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
    SELECT walk.tenant_id FROM walk WHERE walk.due_at <= now()
) AS tenant
-- LIMIT 1 keeps the planner from hashing all limits for each claim: there is one row at most.
LEFT JOIN LATERAL (
    SELECT own.max_concurrent, own.weight
    FROM jobtide_tenant_limits AS own
    WHERE
        (SELECT %(has_own)s::bool)
        AND own.pool = (SELECT %(pool)s::text) AND own.tenant_id = tenant.tenant_id AND own.type = '' AND own.until > now()
    LIMIT 1
) AS own ON true
LEFT JOIN LATERAL (
    SELECT shared.max_concurrent, shared.weight
    FROM jobtide_tenant_limits AS shared
    WHERE
        (SELECT %(has_shared)s::bool)
        AND shared.pool = '' AND shared.tenant_id = tenant.tenant_id AND shared.type = '' AND shared.until > now()
    LIMIT 1
) AS shared ON true
LEFT JOIN LATERAL (
    SELECT typed.max_concurrent, typed.weight
    FROM jobtide_tenant_limits AS typed
    WHERE
        (SELECT %(has_typed)s::bool)
        AND typed.pool = '' AND typed.tenant_id = tenant.tenant_id AND typed.type = lap.type AND typed.until > now()
    LIMIT 1
) AS typed ON true
CROSS JOIN LATERAL (
    SELECT
        coalesce(own.max_concurrent, shared.max_concurrent, (SELECT %(cap)s::int)) AS cap,
        coalesce(typed.max_concurrent, 2147483647) AS type_cap,
        coalesce(own.weight, typed.weight, shared.weight, 1) AS weight
    OFFSET 0
) AS allowed
CROSS JOIN LATERAL (
    SELECT (allowed.cap = 2147483647 OR allowed.cap > (
        SELECT count(*)
        FROM (
            SELECT
            FROM counted
            CROSS JOIN LATERAL (
                SELECT
                FROM job_queue AS q
                WHERE
                    q.status = 'processing' AND q.worker_id ^@ 'jobtide:' -- not what other consumers hold
                    AND q.type = counted.type AND q.tenant_id = tenant.tenant_id
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
                AND q.type = lap.type AND q.tenant_id = tenant.tenant_id
            ORDER BY q.type, q.tenant_id
            LIMIT allowed.type_cap
        ) AS upto_type_cap
    )) AS has_room
    OFFSET 0
) AS estimate
CROSS JOIN LATERAL (
    -- OFFSET 0 keeps this call behind the estimate above: only tenants with room are locked.
    SELECT
        estimate.has_room AND (
            (allowed.cap = 2147483647 AND allowed.type_cap = 2147483647)
            OR pg_try_advisory_xact_lock(hashtextextended('jobtide ' || tenant.tenant_id, 0))
        ) AS locked
    OFFSET 0
) AS gate
WHERE gate.locked
LIMIT (SELECT %(wanted)s::int)
