-- How many jobs of these tenants have not ended.
--
-- Parameters: tenants uuid[]
-- Index:      idx_job_queue_status_created_at
SELECT count(*)
FROM job_queue
WHERE status IN ('pending', 'processing') AND tenant_id = ANY(%(tenants)s::uuid[])
