-- Extends the leases of long jobs and stores their reported progress, through the same fence as every end.
-- The status is compared as text, so that the planner has no index to choose but the primary key.
--
-- Parameters, arrays of one length: ids uuid[], tokens text[], attempts int[], progress text[] (JSON object or
--             NULL: unchanged); and lease_seconds float8
-- Index:      job_queue_pkey, one probe a row
UPDATE job_queue AS held
SET
    next_retry_at = now() + %(lease_seconds)s::float8 * interval '1 second',
    result = coalesce(lease.progress::jsonb, held.result)
FROM
    unnest(%(ids)s::uuid[], %(tokens)s::text[], %(attempts)s::int[], %(progress)s::text[])
        AS lease (id, token, attempts, progress)
WHERE
    held.id = lease.id
    AND held.status::text = 'processing'
    AND held.worker_id = lease.token
    AND held.attempts = lease.attempts
RETURNING held.id
