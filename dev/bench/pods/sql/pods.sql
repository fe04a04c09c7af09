-- How many different pods have claimed jobs of one type.
--
-- Parameters: tenant uuid, type text
-- Index:      idx_job_queue_tenant_id
SELECT count(DISTINCT split_part(worker_id, ':', 2))
FROM job_queue
WHERE tenant_id = %(tenant)s AND type = %(type)s AND worker_id IS NOT NULL
