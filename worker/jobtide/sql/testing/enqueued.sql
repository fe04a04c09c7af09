-- The pending jobs of one type, oldest first, for jobtide.testing.
--
-- Parameters: asked text (a JSON object with type, and tenant_id or null for every tenant)
-- Index:      any: the table of a test is small
SELECT
    CAST(q.id AS text) AS id,
    CAST(q.tenant_id AS text) AS tenant_id,
    CAST(q.payload AS text) AS payload,
    -- Not as a timestamp: its text depends on the DateStyle of the caller's connection.
    CASE WHEN isfinite(q.next_retry_at) THEN CAST(extract(EPOCH FROM q.next_retry_at) * 1000000 AS bigint) END
        AS due_microseconds
FROM json_to_record(CAST(CAST(%(asked)s AS text) AS json)) AS asked (type text, tenant_id uuid)
INNER JOIN job_queue AS q ON asked.type = q.type
WHERE
    q.status = 'pending'
    AND (asked.tenant_id IS NULL OR q.tenant_id = asked.tenant_id)
-- The rows of one transaction have one created_at; ctid then gives the order of the inserts, if none was deleted.
ORDER BY q.created_at, q.ctid
