-- Extends all leases of this pod, for a worker whose threads can't run (see lease_keeper.py).
--
-- Parameters: token_prefix text (`jobtide:<pod uid>:`), lease_seconds float8; ids uuid[] (NULL: all;
--             a part of them after a refusal)
-- Index:      idx_job_queue_status_created_at over the processing rows
-- Locks:      this pod's rows, at most 5,000; locked ones (their end is being written) are skipped
WITH held AS MATERIALIZED (
    SELECT q.id
    FROM job_queue AS q
    WHERE
        q.status = 'processing'
        AND starts_with(left(q.worker_id, 200), %(token_prefix)s)
        AND (%(ids)s::uuid[] IS NULL OR q.id = ANY(%(ids)s::uuid[]))
        AND coalesce(q.next_retry_at, '-infinity'::timestamptz) < now() + %(lease_seconds)s::float8 * interval '1 second'
    LIMIT 5000
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE job_queue AS extended
SET next_retry_at = now() + %(lease_seconds)s::float8 * interval '1 second'
FROM held
WHERE extended.id = held.id
RETURNING extended.id
