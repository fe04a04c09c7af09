-- Deletes the jobs of one type that no worker runs.
--
-- Parameters: tenant uuid, type text
-- Index:      idx_job_queue_tenant_id
DELETE FROM job_queue
WHERE tenant_id = %(tenant)s AND type = %(type)s AND status <> 'processing'
