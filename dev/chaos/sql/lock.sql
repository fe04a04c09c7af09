-- Locks some of these tenants' rows until the transaction ends: running ones, or waiting ones.
--
-- Parameters: tenants uuid[], status text, rows int
-- Index:      idx_job_queue_status_created_at
SELECT id
FROM job_queue
WHERE status = %(status)s::job_status AND tenant_id = ANY(%(tenants)s::uuid[])
ORDER BY random()
LIMIT %(rows)s
FOR UPDATE SKIP LOCKED
