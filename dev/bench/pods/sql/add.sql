-- Inserts jobs in one statement, as an application would.
--
-- Parameters: tenant uuid, type text, seconds float8[]: how long each job lasts
INSERT INTO job_queue (tenant_id, type, payload)
SELECT %(tenant)s, %(type)s, jsonb_build_object('seconds', lasts.seconds)
FROM unnest(%(seconds)s::float8[]) AS lasts (seconds)
