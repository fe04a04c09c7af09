-- The jobs of the last days, for a simulation: when each was created, when it ended, and which pod ran it.
--
-- A user runs it by hand; it reads every row of these days once and writes nothing.
--
-- Parameters: days float8, types text[] (NULL: all)
-- Index:      idx_job_queue_status_created_at at most; a table with few other rows is scanned in sequence
-- Bounds:     the rows created in these days
SELECT
    type,
    tenant_id::text AS tenant_id,
    extract(epoch FROM created_at)::float8 AS created_at,
    extract(epoch FROM completed_at)::float8 AS completed_at,
    extract(epoch FROM next_retry_at)::float8 AS due_at,
    status = 'pending' AND attempts = 0 AS is_scheduled,
    attempts,
    -- jobtide:<pod uid>:<nonce>; the worker_id of other consumers is used unchanged.
    CASE WHEN worker_id LIKE 'jobtide:%%' THEN split_part(worker_id, ':', 2) ELSE worker_id END AS pod
FROM job_queue
WHERE
    created_at >= now() - %(days)s::float8 * interval '1 day'
    AND created_at <= now()
    AND (%(types)s::text[] IS NULL OR type = ANY(%(types)s::text[]))
ORDER BY created_at
