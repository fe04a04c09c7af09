-- What: the seed's index for one type's jobs.
-- Lock: SHARE UPDATE EXCLUSIVE: reads and writes go on while it is built.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_job_queue_type ON job_queue (type);
