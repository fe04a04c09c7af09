-- Describes jobs, each in a line; the newest first. Times are seconds since 1970, or infinite.
--
-- Texts are cut: they are as long as their writers made them. A cut type has one character more than a pool's type may
-- have: it equals none. What is no text is rendered only if it is short: a number such as 1e131071 has 131,072 characters,
-- and an array of them would end the statement for all jobs of the list.
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
    CASE WHEN jsonb_typeof(error.type) = 'string' THEN left(error.type #>> '{}', 200) END AS error_type,
    CASE
        WHEN jsonb_typeof(error.message) = 'string' OR pg_column_size(error.message) <= 500
            THEN left(error.message #>> '{}', 300)
        WHEN error.message IS NOT NULL THEN '(too large to show)'
    END AS error_message
FROM job_queue AS q
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN q.status <> 'completed' THEN q.result #> '{error,type}' END AS type,
        CASE WHEN q.status <> 'completed' THEN coalesce(q.result #> '{error,message}', q.result #> '{error}') END AS message
) AS error
WHERE q.id = ANY(%(ids)s::uuid[])
ORDER BY q.created_at DESC NULLS LAST, q.id
