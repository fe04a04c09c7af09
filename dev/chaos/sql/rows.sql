-- Every job of these tenants.
--
-- Parameters: tenants uuid[]
-- Index:      idx_job_queue_tenant_id
SELECT id, status::text, result, attempts, extract(EPOCH FROM created_at)::float8 AS created_at
FROM job_queue
WHERE tenant_id = ANY(%(tenants)s::uuid[])
