-- Makes failed jobs pending again, due now and with all their attempts. Their last error stays until the next end.
--
-- Only jobs that had ended when the run began: one that was retried and failed again is not retried by the same run.
--
-- Parameters: ids uuid[], type text, tenant uuid (both again, NULL: of any), ended_by timestamptz
-- Index:      job_queue_pkey, two probes a row
-- Locks:      these rows; locked ones are left
WITH unlocked AS MATERIALIZED (
    SELECT q.id
    FROM job_queue AS q
    WHERE q.id = ANY(%(ids)s::uuid[])
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE job_queue AS retried
SET status = 'pending', attempts = 0, next_retry_at = now(), completed_at = NULL
FROM unlocked
WHERE
    retried.id = unlocked.id
    AND (retried.status = 'failed') IS TRUE
    AND coalesce(retried.completed_at, '-infinity') <= %(ended_by)s::timestamptz
    AND (%(type)s::text IS NULL OR retried.type = %(type)s::text)
    AND (%(tenant)s::uuid IS NULL OR retried.tenant_id = %(tenant)s::uuid)
RETURNING retried.id
