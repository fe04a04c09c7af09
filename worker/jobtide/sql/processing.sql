-- Lists the jobs that run under claim tokens with this prefix, for the careful variant of a statement that was refused.
--
-- Parameters: token_prefix text, at_most int
-- Index:      idx_job_queue_status_created_at over the processing rows
SELECT q.id
FROM job_queue AS q
WHERE
    q.status = 'processing'
    AND starts_with(left(q.worker_id, 200), %(token_prefix)s)
ORDER BY q.next_retry_at
LIMIT %(at_most)s
