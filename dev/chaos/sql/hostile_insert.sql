-- A row as a tenant's user may insert it behind the walls.
--
-- Parameters: tenant uuid, type text, payload text (jsonb), next_retry_at text (timestamptz)
INSERT INTO job_queue (tenant_id, type, payload, next_retry_at)
VALUES (%(tenant)s, %(type)s, %(payload)s::jsonb, %(next_retry_at)s::timestamptz)
