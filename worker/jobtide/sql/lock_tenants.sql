-- First half of a claim under tenant caps: chooses the keys that may give rows, and locks their tenants.
--
-- Counting and claiming in one statement would let two claims see the same free place. So a transaction first takes
-- an advisory lock for each tenant, and its second statement (claim_capped.sql), with a snapshot of its own, counts
-- and claims under these locks. A tenant that another transaction has locked is skipped, never waited for. The locks
-- end with the transaction, so they leave no session state and work behind a pooler.
--
-- Tenants that seem full are left out here, so that they can't crowd out others; claim_capped.sql counts again.
--
-- Parameters: types text[], firsts uuid[], lasts uuid[], sinces timestamptz[], since_ids uuid[]
--             (the lap, see claim.sql), wanted int,
--             cap int (of tenants without an override), override_tenants uuid[], override_caps int[]
-- Index:      idx_job_queue_due, one probe a key; idx_job_queue_running, at most `cap` entries a tenant
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
override AS MATERIALIZED (
    SELECT * FROM unnest((SELECT %(override_tenants)s::uuid[]), (SELECT %(override_caps)s::int[])) AS o (tenant_id, cap)
),
counted AS MATERIALIZED (
    SELECT DISTINCT lap.type FROM lap
)
SELECT
    lap.type,
    tenant.tenant_id AS tenant,
    lap.position,
    CASE WHEN tenant.tenant_id = lap.first_tenant THEN lap.since END AS since,
    CASE WHEN tenant.tenant_id = lap.first_tenant THEN lap.since_id END AS since_id
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
CROSS JOIN LATERAL (
    SELECT coalesce(
        (SELECT override.cap FROM override WHERE override.tenant_id = tenant.tenant_id), (SELECT %(cap)s::int)
    ) AS cap
    OFFSET 0
) AS allowed
CROSS JOIN LATERAL (
    SELECT allowed.cap = 2147483647 OR allowed.cap > (
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
    ) AS has_room
    OFFSET 0
) AS estimate
CROSS JOIN LATERAL (
    -- OFFSET 0 keeps this call behind the estimate above: only tenants with room are locked.
    SELECT estimate.has_room AND pg_try_advisory_xact_lock(hashtextextended('jobtide ' || tenant.tenant_id, 0)) AS locked
    OFFSET 0
) AS gate
WHERE gate.locked
LIMIT (SELECT %(wanted)s::int)
