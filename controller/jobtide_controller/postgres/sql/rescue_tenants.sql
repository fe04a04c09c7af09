-- Lists the tenants whose jobs these gone pods hold, after the server refused a row of rescue_pod.sql.
--
-- Parameters: pod_uids text[]
-- Index:      idx_job_queue_status_created_at over the processing rows, as many as there are running jobs
SELECT DISTINCT q.tenant_id
FROM job_queue AS q
WHERE
    q.status = 'processing'
    AND starts_with(left(q.worker_id, 100), 'jobtide:')
    AND split_part(left(q.worker_id, 100), ':', 2) = ANY(%(pod_uids)s::text[])
