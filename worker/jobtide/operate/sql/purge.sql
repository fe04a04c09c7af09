-- Deletes jobs that have ended.
--
-- Without SKIP LOCKED: it needs the right to change a row, which an operator has on no completed one. lock_timeout bounds
-- the wait, and the batch is halved until the locked row is alone. Ended jobs are seldom locked.
--
-- Parameters: ids uuid[], type text, tenant uuid (both again, NULL: of any), ended_by timestamptz
-- Index:      job_queue_pkey, one probe a row
-- Locks:      these rows
DELETE FROM job_queue AS purged
WHERE
    purged.id = ANY(%(ids)s::uuid[])
    AND (purged.status IN ('completed', 'failed')) IS TRUE
    AND coalesce(purged.completed_at, '-infinity') <= %(ended_by)s::timestamptz
    AND (%(type)s::text IS NULL OR purged.type = %(type)s::text)
    AND (%(tenant)s::uuid IS NULL OR purged.tenant_id = %(tenant)s::uuid)
RETURNING purged.id
