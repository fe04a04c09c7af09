-- Serializes transactions that check whether a key has an open job and then add one. Sent before enqueue.sql, as a
-- separate statement: the snapshot of the check must be younger than the lock.
--
-- Parameters: asked text (a JSON array of bigint, ascending: all transactions lock in one order, so none deadlock)
-- Index:      none, no table is touched
-- Locks:      one advisory lock a key, until the transaction ends
SELECT pg_advisory_xact_lock(CAST(key.name AS bigint))
FROM json_array_elements_text(CAST(CAST(%(asked)s AS text) AS json)) AS key (name)
