-- What: our running jobs by type and tenant: as small as the number of jobs that run. Rows that another consumer holds
--       are not in it.
-- Why:  tenant caps and the depth reading count a tenant's running jobs without touching those of others, however many
--       rows a tenant marks as running. The status is a key column because claims change it: PostgreSQL then takes a
--       new entry for a new one, and does not look for old versions of it (12 us of a claimed row otherwise).
-- Lock: SHARE UPDATE EXCLUSIVE: reads and writes go on while it is built.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_job_queue_running ON job_queue (type, tenant_id, status)
  WHERE status = 'processing' AND worker_id ^@ 'jobtide:';
