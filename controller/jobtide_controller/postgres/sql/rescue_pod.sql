-- Returns the jobs of worker pods that are gone for certain, a moment after the fact and with no heartbeat anywhere.
--
-- gives_back says what the loss costs the job: a pod that was deleted or evicted burns no attempt; one whose process
-- died on its own does, so that a job that kills its worker runs out of attempts. A process that lives on unseen (a
-- partitioned node) is refused by the fence when it ends one of these claims.
--
-- Parameters: pod_uids text[], gives_back bool[] (one length), at_most int
-- Index:      idx_job_queue_status_created_at over the processing rows, which are as many as jobs run at once
-- Locks:      at most `at_most` rows; locked ones (an end is under way) are skipped and found by the next reading
WITH orphan AS MATERIALIZED (
    SELECT q.id, gone.pod_uid, gone.gives_back
    FROM job_queue AS q
    INNER JOIN unnest(%(pod_uids)s::text[], %(gives_back)s::bool[]) AS gone (pod_uid, gives_back)
        ON split_part(q.worker_id, ':', 2) = gone.pod_uid
    WHERE
        q.status = 'processing'
        AND starts_with(q.worker_id, 'jobtide:')
    LIMIT %(at_most)s
    FOR NO KEY UPDATE OF q SKIP LOCKED
)
UPDATE job_queue AS rescued
SET
    status = 'pending',
    next_retry_at = NULL,
    attempts = greatest(0, rescued.attempts - orphan.gives_back::int),
    result = CASE
        WHEN orphan.gives_back THEN rescued.result
        ELSE jsonb_build_object('error', jsonb_build_object(
            'type', 'WorkerLost',
            'message', 'the worker''s pod ended while this job ran',
            'attempt', rescued.attempts,
            'at', now()
        ))
    END
FROM orphan
WHERE rescued.id = orphan.id
RETURNING orphan.pod_uid
