-- Lets one transaction at a time look whether a key has an open job, and add one. Sent before enqueue.sql, as a
-- statement of its own: the snapshot of the look must be younger than the lock.
--
-- Parameters: asked text (a JSON array of bigint, ascending: in one order for everybody, so that no two block each
--             other for ever)
-- Index:      none, no table is touched
-- Locks:      one advisory lock a key, until the transaction ends
SELECT pg_advisory_xact_lock(CAST(key.name AS bigint))
FROM json_array_elements_text(CAST(CAST(%(asked)s AS text) AS json)) AS key (name)
