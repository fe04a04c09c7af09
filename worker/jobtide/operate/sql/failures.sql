-- Counts failed jobs by tenant and type: of the newest `look` failed ones, those created within the last hour. With
-- `look` jobs in all, older ones of the hour were not looked at. A type is cut to one character more than a pool's type
-- may have, so that none is cut to another one.
--
-- Parameters: look int
-- Index:      idx_job_queue_status_created_at, at most `look` entries and their rows
SELECT recent.tenant_id, left(recent.type, 201) AS type, count(*) AS jobs
FROM (
    SELECT q.tenant_id, q.type
    FROM job_queue AS q
    WHERE q.status = 'failed' AND q.created_at >= now() - interval '1 hour' AND q.created_at <= now()
    ORDER BY q.status DESC, q.created_at DESC
    LIMIT %(look)s::int
) AS recent
GROUP BY recent.tenant_id, left(recent.type, 201)
