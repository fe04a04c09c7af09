-- Extends the leases of long jobs and stores their reported progress, through the same fence as every end.
--
-- Parameters, arrays of one length: ids uuid[], tokens text[], attempts int[], progress text[] (JSON object or
--             NULL: unchanged); and lease_seconds float8
-- Index:      job_queue_pkey, two probes a row
-- Locks:      these rows; locked ones are left, and held.sql tells them from lost leases
WITH lease AS MATERIALIZED (
    SELECT *
    FROM
        unnest(%(ids)s::uuid[], %(tokens)s::text[], %(attempts)s::int[], %(progress)s::text[])
            AS lease (id, token, attempts, progress)
),
unlocked AS MATERIALIZED (
    SELECT q.id
    FROM job_queue AS q
    WHERE q.id = ANY(ARRAY(SELECT lease.id FROM lease))
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE job_queue AS held
SET
    next_retry_at = now() + %(lease_seconds)s::float8 * interval '1 second',
    result = coalesce(lease.progress::jsonb, held.result)
FROM lease
INNER JOIN unlocked ON lease.id = unlocked.id
WHERE
    held.id = lease.id
    AND (held.status = 'processing') IS TRUE
    AND held.worker_id = lease.token
    AND held.attempts = lease.attempts
RETURNING held.id
