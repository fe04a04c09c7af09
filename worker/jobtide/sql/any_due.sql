-- Whether any row of these types is due: row by row, without a look at the tenants.
--
-- With ten thousand tenants that have one scheduled row each this takes less than a thirtieth of the walk from tenant to tenant of
-- claim.sql; with a tenant that has a million of them, it takes longer. queue/idle_look.py chooses.
--
-- Parameters: types text[]
-- Index:      idx_job_queue_due, index-only; the due time is compared within the index
-- Bounds:     every pending row of these types, if none is due
SELECT 1 AS found
FROM unnest((SELECT %(types)s::text[])) AS requested (type)
CROSS JOIN LATERAL (
    SELECT q.tenant_id
    FROM job_queue AS q
    WHERE
        q.status = 'pending'
        AND q.type = requested.type
        AND coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) <= now()
    ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz)
    LIMIT 1
) AS due_row
LIMIT 1
