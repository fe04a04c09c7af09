-- Deletes one row of the tenant.
--
-- Parameters: tenant uuid
-- Index:      idx_job_queue_tenant_id
DELETE FROM job_queue
WHERE id IN (
    SELECT id
    FROM job_queue
    WHERE tenant_id = %(tenant)s
    ORDER BY random()
    LIMIT 1
)
