-- What: the only addition to the seed's table: pending jobs by type, tenant and due time.
-- Why:  fair claims and the depth reading walk it from (type, tenant) to (type, tenant). The columns of
--       the expression are included because the planner has no index-only scan for an expression alone.
--       A job without created_at is due at once.
-- Lock: SHARE UPDATE EXCLUSIVE: reads and writes go on while it is built.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_job_queue_due ON job_queue
  (type, tenant_id, (coalesce(next_retry_at, created_at, '-infinity'::timestamptz)), id)
  INCLUDE (next_retry_at, created_at)
  WHERE status = 'pending';
