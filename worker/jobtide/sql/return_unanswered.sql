-- Requeues the jobs of claims whose answer was lost with its connection: no worker has them, and none has started.
--
-- Parameters: tokens text[] (of those claims; each claim has its own); ids uuid[] (NULL: all;
--             a part of them after a refusal)
-- Index:      idx_job_queue_status_created_at over the processing rows
WITH unanswered AS MATERIALIZED (
    SELECT q.id
    FROM job_queue AS q
    WHERE
        q.status = 'processing'
        AND q.worker_id = ANY(%(tokens)s::text[])
        AND (%(ids)s::uuid[] IS NULL OR q.id = ANY(%(ids)s::uuid[]))
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE job_queue AS returned
SET
    status = 'pending',
    next_retry_at = NULL,
    attempts = greatest(returned.attempts, 1) - 1
FROM unanswered
WHERE returned.id = unanswered.id
RETURNING returned.id
