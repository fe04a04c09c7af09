-- The claim token of a worker that ran a job of this tenant.
--
-- Parameters: tenant uuid
-- Index:      idx_job_queue_tenant_id
SELECT worker_id
FROM job_queue
WHERE tenant_id = %(tenant)s AND length(worker_id) BETWEEN 45 AND 100
ORDER BY random()
LIMIT 1
