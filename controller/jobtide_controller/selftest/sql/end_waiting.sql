-- Ends the test's waiting jobs as failed: only ended ones may be deleted. The workers' login sends it.
--
-- Parameters: type text
-- Index:      idx_job_queue_type or idx_job_queue_due, job_queue_pkey
-- Bounds:     100 rows; no other jobs are of this type
-- Locks:      these rows; one that a worker claims at this moment is left to it
UPDATE job_queue AS ended
SET
    status = 'failed',
    next_retry_at = NULL,
    completed_at = now(),
    result = '{"error": {"type": "TestEnded", "message": "the test of the installation ended before a worker came"}}'
FROM (
    SELECT q.id
    FROM job_queue AS q
    WHERE
        q.type = %(type)s
        AND q.status = 'pending'
    LIMIT 100
    FOR UPDATE SKIP LOCKED
) AS waiting
WHERE
    ended.id = waiting.id
    AND ended.status = 'pending'
RETURNING ended.id
