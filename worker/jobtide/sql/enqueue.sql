-- Inserts new jobs, in the transaction of the caller. Only the ids that it returns were inserted.
--
-- A job with its own id is not inserted if the table has that id. A job with a key (first_id to last_id, see
-- job_ids.py) is not inserted while the key's newest job is pending or processing; otherwise its number is the next
-- after that job's. Two transactions that read the same newest job choose the same id, and the primary key accepts one.
--
-- Parameters: asked text (a JSON array of objects; one parameter, so that every driver can send it)
-- Index:      job_queue_pkey, one probe a job
-- Locks:      those of an insert, which waits for another transaction's insert of the same id
WITH asked AS MATERIALIZED (
    SELECT *
    FROM json_to_recordset(CAST(CAST(%(asked)s AS text) AS json)) AS job (
        id uuid, first_id uuid, last_id uuid, tenant_id uuid, type text, payload jsonb,
        run_at timestamptz, after_seconds float8
    )
)
INSERT INTO job_queue (id, tenant_id, type, payload, next_retry_at)
SELECT
    coalesce(
        asked.id,
        CAST(left(CAST(asked.first_id AS text), 28) || lpad(to_hex(coalesce(newest.number, 0) + 1), 8, '0') AS uuid)
    ),
    asked.tenant_id,
    asked.type,
    asked.payload,
    -- Not now(): that is when the caller's transaction began, perhaps long ago.
    coalesce(asked.run_at, clock_timestamp() + asked.after_seconds * interval '1 second')
FROM asked
LEFT JOIN LATERAL (
    SELECT
        q.status,
        CAST(CAST('x' || right(CAST(q.id AS text), 8) AS bit(32)) AS bigint) AS number
    FROM job_queue AS q
    WHERE q.id BETWEEN asked.first_id AND asked.last_id
    ORDER BY q.id DESC
    LIMIT 1
) AS newest ON true
WHERE (newest.status IN ('pending', 'processing')) IS NOT TRUE
ON CONFLICT (id) DO NOTHING
RETURNING id
