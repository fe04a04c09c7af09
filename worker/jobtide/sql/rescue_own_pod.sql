-- Requeues the jobs that an earlier process of this pod held when it died: its container was restarted in the same
-- pod, so the pod's UID still exists and the leases would keep running without a worker.
--
-- Sent once, before the first claim. The jobs become suspects: each runs apart until it is known which of them ends its
-- worker's process.
--
-- Parameters: token_prefix text (`jobtide:<pod uid>:`); ids uuid[] (NULL: all;
--             a part of them after a refusal)
-- Index:      idx_job_queue_status_created_at over the processing rows
-- Locks:      at most 5,000 rows: more are forged, or left to their leases
WITH orphan AS MATERIALIZED (
    SELECT q.id
    FROM job_queue AS q
    WHERE
        q.status = 'processing'
        AND starts_with(left(q.worker_id, 200), %(token_prefix)s)
        AND (%(ids)s::uuid[] IS NULL OR q.id = ANY(%(ids)s::uuid[]))
    LIMIT 5000
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE job_queue AS rescued
SET
    status = 'pending',
    next_retry_at = NULL,
    -- Only a job that ran alone (its mark is 3) is known to be the cause: see the ADR on suspects.
    attempts = greatest(1, rescued.attempts) - (rescued.result ->> 'suspect' IS DISTINCT FROM '3')::int,
    result = jsonb_build_object('error', jsonb_build_object(
        'type', 'WorkerDied',
        'message', 'the worker''s process ended while this job ran; its container was restarted',
        'attempt', rescued.attempts,
        'at', now()
    ), 'suspect', CASE WHEN rescued.result ->> 'suspect' IN ('1', '2', '3') THEN 2 ELSE 1 END)
FROM orphan
WHERE rescued.id = orphan.id
RETURNING rescued.id, left(rescued.type, 200) AS type, rescued.tenant_id, rescued.attempts
