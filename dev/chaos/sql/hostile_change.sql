-- Changes one waiting row, as a tenant's user may behind the walls.
--
-- Parameters: tenant uuid, type text, payload text (jsonb), next_retry_at text (timestamptz)
-- Index:      idx_job_queue_tenant_id
UPDATE job_queue
SET
    type = %(type)s,
    payload = %(payload)s::jsonb,
    next_retry_at = %(next_retry_at)s::timestamptz
WHERE id IN (
    SELECT id
    FROM job_queue
    WHERE tenant_id = %(tenant)s AND status = 'pending'
    ORDER BY random()
    LIMIT 1
)
