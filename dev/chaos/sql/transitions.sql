-- Every change of the status of these tenants' jobs, in order.
--
-- Parameters: tenants uuid[]
-- Index:      idx_job_queue_tenant_id, transitions_job_id
SELECT entry.job_id, entry.became::text, entry.worker_id, extract(EPOCH FROM entry.at)::float8 AS at
FROM jobtide_demo.transitions AS entry
INNER JOIN job_queue AS job ON job.id = entry.job_id
WHERE job.tenant_id = ANY(%(tenants)s::uuid[])
ORDER BY entry.job_id, entry.at
