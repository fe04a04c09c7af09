-- Requeues jobs whose lease has expired: the fallback for workers that died unnoticed.
--
-- The attempt stays counted: a job that kills its process must run out of attempts. Only rows under a claim token of
-- Jobtide: other consumers of the table leave a past next_retry_at on rows that they work on.
--
-- Parameters: at_most int; ids uuid[] (NULL: all;
--             a part of them after a refusal)
-- Index:      idx_job_queue_status_created_at over the processing rows, which are as many as jobs run at once
-- Locks:      at most `at_most` rows; locked ones (their end is being written) are skipped
WITH expired AS MATERIALIZED (
    SELECT q.id
    FROM job_queue AS q
    WHERE
        q.status = 'processing'
        AND q.next_retry_at < now()
        AND starts_with(left(q.worker_id, 8), 'jobtide:')
        AND (%(ids)s::uuid[] IS NULL OR q.id = ANY(%(ids)s::uuid[]))
    LIMIT %(at_most)s
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE job_queue AS rescued
SET
    status = 'pending',
    next_retry_at = NULL,
    result = jsonb_build_object('error', jsonb_build_object(
        'type', 'LeaseExpired',
        'message', 'the worker did not extend its lease: it died, hung or lost its database',
        'attempt', rescued.attempts,
        'at', now()
    ))
FROM expired
WHERE rescued.id = expired.id
RETURNING rescued.id, left(rescued.type, 200) AS type, rescued.tenant_id, rescued.attempts
