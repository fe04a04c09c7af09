-- Ends waiting jobs, and running ones of Jobtide, as failed. A running one loses its claim: no statement of its worker
-- matches the row again. What another consumer of the table runs is left, since it has no fence.
--
-- The mark of a suspect stays, for a later retry.
--
-- Parameters: ids uuid[], type text, tenant uuid (both again, NULL: of any), by text
-- Index:      job_queue_pkey, two probes a row
-- Locks:      these rows; locked ones (their end is being written) are left
WITH unlocked AS MATERIALIZED (
    SELECT q.id, q.status
    FROM job_queue AS q
    WHERE q.id = ANY(%(ids)s::uuid[])
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE job_queue AS cancelled
SET
    status = 'failed',
    worker_id = CASE WHEN unlocked.status = 'pending' THEN cancelled.worker_id END,
    next_retry_at = NULL,
    completed_at = now(),
    result = jsonb_build_object('error', jsonb_build_object(
        'type', 'Cancelled',
        'message', 'cancelled by an operator',
        'by', %(by)s::text,
        'attempt', cancelled.attempts,
        'at', now()
    )) || CASE
        WHEN cancelled.result -> 'suspect' IN ('1', '2', '3') THEN jsonb_build_object('suspect', cancelled.result -> 'suspect')
        ELSE '{}'
    END
FROM unlocked
WHERE
    cancelled.id = unlocked.id
    AND (
        cancelled.status = 'pending'
        OR (cancelled.status = 'processing' AND cancelled.worker_id ^@ 'jobtide:')
    ) IS TRUE
    AND (%(type)s::text IS NULL OR cancelled.type = %(type)s::text)
    AND (%(tenant)s::uuid IS NULL OR cancelled.tenant_id = %(tenant)s::uuid)
RETURNING cancelled.id
