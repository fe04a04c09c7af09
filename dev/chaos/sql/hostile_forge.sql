-- Changes one row in any way, as a writer without walls can.
--
-- Parameters: those of INSERT in dev/postgres/hostile_rows.py
-- Index:      idx_job_queue_tenant_id
UPDATE job_queue
SET
    type = %(type)s,
    status = %(status)s::job_status,
    payload = %(payload)s::jsonb,
    result = %(result)s::jsonb,
    worker_id = %(worker_id)s,
    attempts = %(attempts)s,
    next_retry_at = %(next_retry_at)s::timestamptz,
    created_at = %(created_at)s::timestamptz,
    completed_at = %(completed_at)s::timestamptz
WHERE id IN (
    SELECT id
    FROM job_queue
    WHERE tenant_id = %(tenant)s
    ORDER BY random()
    LIMIT 1
)
