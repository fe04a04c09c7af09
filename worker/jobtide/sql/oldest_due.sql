-- For how long the oldest due job of each type has been due, among the tenants that are next in turn.
--
-- Not among all: a loose scan costs 4 us a tenant, and every worker looks. A tenant's first row is also its first to
-- fall due. Types without a due row among these tenants are left out.
--
-- Parameters: types text[], firsts uuid[], lasts uuid[] (ranges of tenants, as in claim.sql), tenants int (of a range, at most)
-- Index:      idx_job_queue_due, one probe a tenant
-- Bounds:     `tenants` index entries a range, and the dead ones before them
SELECT
    lap.type,
    max(oldest.due_seconds) AS due_seconds
FROM unnest((SELECT %(types)s::text[]), (SELECT %(firsts)s::uuid[]), (SELECT %(lasts)s::uuid[]))
    AS lap (type, first_tenant, last_tenant)
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
    -- -infinity (no created_at) and the zero time of some languages have no age: due long enough to be first
    SELECT date_part('epoch', now() - greatest(min(next_in_turn.due_at), '1900-01-01')) AS due_seconds
    FROM (SELECT walk.due_at FROM walk LIMIT (SELECT %(tenants)s::int)) AS next_in_turn
    WHERE next_in_turn.due_at <= now()
    HAVING count(*) > 0
) AS oldest
GROUP BY lap.type
