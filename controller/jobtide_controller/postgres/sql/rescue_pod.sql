-- Requeues the jobs of worker pods that are certainly gone, moments after they went and without any heartbeat.
--
-- gives_back: true if the pod was deleted or evicted: its jobs have no part in that. After a crash of the worker's
-- process they become suspects, which run apart; the attempt counts only for a job that ran alone. If the process still
-- runs unseen (on a partitioned node), the fence refuses its result.
--
-- Parameters: pod_uids text[], gives_back bool[] (same length), at_most int; tenants uuid[] (NULL: all; a part of them
--             after a refusal)
-- Index:      idx_job_queue_status_created_at over the processing rows, as many as there are running jobs
-- Locks:      at most `at_most` rows; locked rows (a worker finishes them) are skipped, the next reading finds them
WITH orphan AS MATERIALIZED (
    SELECT q.id, gone.pod_uid, gone.gives_back
    FROM job_queue AS q
    INNER JOIN unnest(%(pod_uids)s::text[], %(gives_back)s::bool[]) AS gone (pod_uid, gives_back)
        ON split_part(left(q.worker_id, 100), ':', 2) = gone.pod_uid
    WHERE
        q.status = 'processing'
        AND starts_with(left(q.worker_id, 100), 'jobtide:')
        AND (%(tenants)s::uuid[] IS NULL OR q.tenant_id = ANY(%(tenants)s::uuid[]))
    LIMIT %(at_most)s
    FOR NO KEY UPDATE OF q SKIP LOCKED
)
UPDATE job_queue AS rescued
SET
    status = 'pending',
    next_retry_at = NULL,
    attempts = greatest(1, rescued.attempts)
    - (orphan.gives_back OR rescued.result ->> 'suspect' IS DISTINCT FROM '3')::int,
    result = CASE
        WHEN orphan.gives_back AND rescued.result ->> 'suspect' = '3' THEN rescued.result || '{"suspect": 2}'
        WHEN orphan.gives_back THEN rescued.result
        ELSE jsonb_build_object('error', jsonb_build_object(
            'type', 'WorkerLost',
            'message', 'the worker''s pod ended while this job ran',
            'attempt', rescued.attempts,
            'at', now()
        ), 'suspect', CASE WHEN rescued.result ->> 'suspect' IN ('1', '2', '3') THEN 2 ELSE 1 END)
    END
FROM orphan
WHERE rescued.id = orphan.id
RETURNING orphan.pod_uid
