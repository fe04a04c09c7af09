-- Inserts new jobs, in the transaction of the caller. Only the ids that it returns with is_taken = false were inserted.
--
-- A job with its own id is not inserted if the table has that id. A job with a key (first_id to last_id, see
-- job_ids.py) is not inserted while the key's newest job is pending or processing; otherwise its number is the next
-- after that job's. Two transactions that read the same newest job choose the same id, and the primary key accepts one.
--
-- Without the policy of 60_tenant_walls.sql another tenant may have inserted the id. Its row never counts as the key's
-- job: the key's first_id, or the job's own id, is returned with is_taken = true, and the producer asks for a number
-- further on (`skip`).
--
-- Parameters: asked text (a JSON array of objects; one parameter, so that every driver can send it)
-- Index:      job_queue_pkey, one probe a job
-- Locks:      those of an insert, which waits for another transaction's insert of the same id
WITH asked AS MATERIALIZED (
    SELECT job.*, newest.status, newest.number
    FROM json_to_recordset(CAST(CAST(%(asked)s AS text) AS json)) AS job (
        id uuid, first_id uuid, last_id uuid, skip bigint, tenant_id uuid, type text, payload jsonb,
        run_at timestamptz, after_seconds float8
    )
    LEFT JOIN LATERAL (
        SELECT
            q.status,
            CAST(CAST('x' || right(CAST(q.id AS text), 8) AS bit(32)) AS bigint) AS number
        FROM job_queue AS q
        WHERE q.id BETWEEN job.first_id AND job.last_id AND q.tenant_id = job.tenant_id
        ORDER BY q.id DESC
        LIMIT 1
    ) AS newest ON true
),
wanted AS MATERIALIZED (
    SELECT
        coalesce(
            asked.id,
            CAST(
                left(CAST(asked.first_id AS text), 28)
                || lpad(to_hex(coalesce(asked.number, 0) + 1 + coalesce(asked.skip, 0)), 8, '0')
                AS uuid
            )
        ) AS new_id,
        asked.*
    FROM asked
    WHERE (asked.status IN ('pending', 'processing')) IS NOT TRUE
),
inserted AS (
    INSERT INTO job_queue (id, tenant_id, type, payload, next_retry_at)
    SELECT
        wanted.new_id,
        wanted.tenant_id,
        wanted.type,
        wanted.payload,
        -- Not now(): that is when the caller's transaction began, perhaps long ago.
        coalesce(wanted.run_at, clock_timestamp() + wanted.after_seconds * interval '1 second')
    FROM wanted
    ON CONFLICT (id) DO NOTHING
    RETURNING id
)
SELECT inserted.id, false AS is_taken
FROM inserted
UNION ALL
SELECT coalesce(wanted.id, wanted.first_id), true
FROM wanted
WHERE
    wanted.new_id NOT IN (SELECT inserted.id FROM inserted)
    AND (
        wanted.id IS NULL
        OR EXISTS (SELECT FROM job_queue AS q WHERE q.id = wanted.id AND q.tenant_id <> wanted.tenant_id)
    )
