-- How many jobs of one type are in one state.
--
-- Parameters: tenant uuid, type text, status text
-- Index:      idx_job_queue_tenant_id
SELECT count(*)
FROM job_queue
WHERE tenant_id = %(tenant)s AND type = %(type)s AND status = %(status)s::job_status
