-- What: the seed's index for one tenant's jobs; the cascade of a deleted tenant uses it too.
-- Lock: SHARE UPDATE EXCLUSIVE: reads and writes go on while it is built.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_job_queue_tenant_id ON job_queue (tenant_id);
