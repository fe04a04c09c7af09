-- Describes jobs, each in a line; the newest first. Times are seconds since 1970, or infinite.
--
-- Texts are cut: they are as long as their writers made them. A cut type has one character more than a pool's type may
-- have: it equals none.
--
-- Parameters: ids uuid[]
-- Index:      job_queue_pkey, one probe a row
SELECT
    q.id,
    q.tenant_id,
    left(q.type, 201) AS type,
    q.status::text AS status,
    q.attempts,
    date_part('epoch', q.created_at) AS created_at,
    CASE
        WHEN q.status = 'pending' THEN date_part('epoch', coalesce(q.next_retry_at, q.created_at, '-infinity'))
        WHEN q.status = 'processing' THEN date_part('epoch', q.next_retry_at)
    END AS due_at,
    date_part('epoch', q.completed_at) AS completed_at,
    left(q.worker_id, 200) AS worker_id,
    CASE WHEN q.status <> 'completed' THEN left(q.result #>> '{error,type}', 200) END AS error_type,
    CASE WHEN q.status <> 'completed' THEN left(coalesce(q.result #>> '{error,message}', q.result #>> '{error}'), 300) END
        AS error_message
FROM job_queue AS q
WHERE q.id = ANY(%(ids)s::uuid[])
ORDER BY q.created_at DESC NULLS LAST, q.id
