-- Requeues jobs that another consumer left in processing. Never a claim of Jobtide: its lease brings it back.
--
-- The table does not say when another consumer claimed a job. The claim is younger than the job and than its due time,
-- so a job that has been due for `older_than_seconds` may have been claimed much later.
--
-- Parameters: older_than_seconds float8, worker_ids text[] (NULL: of any consumer), types text[] (NULL: of any type),
--             resets_attempts bool, at_most int
-- Index:      idx_job_queue_status_created_at over the processing rows
-- Locks:      at most `at_most` rows; locked ones (their consumer is at work) are skipped
WITH foreign_claim AS MATERIALIZED (
    SELECT q.id
    FROM job_queue AS q
    WHERE
        q.status = 'processing'
        AND coalesce(greatest(q.created_at, q.next_retry_at), '-infinity')
            < now() - %(older_than_seconds)s::float8 * interval '1 second'
        AND NOT coalesce(starts_with(q.worker_id, 'jobtide:'), false)
        AND (%(worker_ids)s::text[] IS NULL OR q.worker_id = ANY(%(worker_ids)s::text[]))
        AND (%(types)s::text[] IS NULL OR q.type = ANY(%(types)s::text[]))
    LIMIT %(at_most)s
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE job_queue AS requeued
SET
    status = 'pending',
    next_retry_at = now(), -- and not NULL: a later call knows that a claim of this job is younger than this
    attempts = CASE WHEN %(resets_attempts)s::bool THEN 0 ELSE requeued.attempts END
FROM foreign_claim
WHERE requeued.id = foreign_claim.id
RETURNING requeued.id
