-- How the row of a trial is now. See queue/trial.py.
--
-- Parameters: id uuid
-- Index:      job_queue_pkey
SELECT
    CAST(q.status AS text) AS status,
    q.worker_id,
    q.attempts,
    -- infinity is no date in Python
    CASE WHEN isfinite(q.next_retry_at) THEN q.next_retry_at END AS due_at,
    CAST(coalesce(q.next_retry_at, q.created_at) AS text) AS due,
    CAST(CASE WHEN isfinite(q.next_retry_at) THEN extract(EPOCH FROM q.next_retry_at - now()) END AS float8)
        AS lease_seconds
FROM job_queue AS q
WHERE q.id = %(id)s
