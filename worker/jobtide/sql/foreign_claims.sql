-- Counts the jobs that requeue_foreign.sql would requeue, by consumer and type; the most first.
--
-- Parameters: older_than_seconds float8, worker_ids text[] (NULL: of any consumer), types text[] (NULL: of any type),
--             at_most int (lines)
-- Index:      idx_job_queue_status_created_at over the processing rows
SELECT
    left(q.worker_id, 100) AS worker_id,
    left(q.type, 100) AS type,
    count(*) AS jobs,
    extract(EPOCH FROM now() - min(q.created_at) FILTER (WHERE isfinite(q.created_at)))::float8 AS oldest_seconds,
    max(q.attempts) AS most_attempts
FROM job_queue AS q
WHERE
    q.status = 'processing'
    AND coalesce(greatest(q.created_at, q.next_retry_at), '-infinity')
        < now() - %(older_than_seconds)s::float8 * interval '1 second'
    AND NOT coalesce(starts_with(q.worker_id, 'jobtide:'), false)
    AND (%(worker_ids)s::text[] IS NULL OR q.worker_id = ANY(%(worker_ids)s::text[]))
    AND (%(types)s::text[] IS NULL OR q.type = ANY(%(types)s::text[]))
GROUP BY left(q.worker_id, 100), left(q.type, 100)
ORDER BY count(*) DESC
LIMIT %(at_most)s
