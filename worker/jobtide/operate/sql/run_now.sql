-- Makes pending jobs that are due later due now.
--
-- completed_at, which another consumer may have left in a job that it gave back, is cleared as by every other change to
-- pending: the policy of jobtide_operator accepts no other row.
--
-- Parameters: ids uuid[], type text, tenant uuid (both again, NULL: of any)
-- Index:      job_queue_pkey, two probes a row
-- Locks:      these rows; locked ones (a worker claims them) are left
WITH unlocked AS MATERIALIZED (
    SELECT q.id
    FROM job_queue AS q
    WHERE q.id = ANY(%(ids)s::uuid[])
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE job_queue AS due
SET next_retry_at = now(), completed_at = NULL
FROM unlocked
WHERE
    due.id = unlocked.id
    AND (due.status = 'pending') IS TRUE
    AND coalesce(due.next_retry_at, due.created_at, '-infinity'::timestamptz) > now()
    AND (%(type)s::text IS NULL OR due.type = %(type)s::text)
    AND (%(tenant)s::uuid IS NULL OR due.tenant_id = %(tenant)s::uuid)
RETURNING due.id
