-- What: the seed's index for polling; processing rows and arrivals are read through it as well.
-- Lock: SHARE UPDATE EXCLUSIVE: reads and writes go on while it is built.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_job_queue_status_created_at ON job_queue (status, created_at);
