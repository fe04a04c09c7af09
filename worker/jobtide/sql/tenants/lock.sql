-- Serializes the transactions that add a tenant with this name unless there is one. Sent before named.sql, as a
-- separate statement: the snapshot of the check must be younger than the lock.
--
-- Parameters: name text
-- Index:      none, no table is touched
-- Locks:      one advisory lock, until the transaction ends
SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))
