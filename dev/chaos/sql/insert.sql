-- One plain row, as an application inserts it.
--
-- Parameters: id uuid, tenant_id uuid, type text, payload jsonb, delay_seconds float8 (NULL: due now)
INSERT INTO job_queue (id, tenant_id, type, payload, next_retry_at)
VALUES (
    %(id)s, %(tenant_id)s, %(type)s, %(payload)s,
    now() + %(delay_seconds)s::float8 * interval '1 second'
)
