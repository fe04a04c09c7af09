-- Up to two tenants that have jobs, and a type of each, for a trial. See queue/trial.py.
--
-- Index:      idx_job_queue_tenant_id, two probes
(SELECT q.tenant_id, q.type FROM job_queue AS q ORDER BY q.tenant_id LIMIT 1)
UNION
(SELECT q.tenant_id, q.type FROM job_queue AS q ORDER BY q.tenant_id DESC LIMIT 1)
