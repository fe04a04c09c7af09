-- Finds the types with waiting jobs that are not among these: no pool of the database handles them.
--
-- The table's types are walked, one probe each, for at most `at_most` types more than are requested: then at least that
-- many are unserved. Such a walk sees the first types in their order, which is enough to say that there are some.
--
-- Parameters: types text[] (each once), at_most int (types), row_count int (rows to count of each)
-- Index:      idx_job_queue_due, index-only
-- Bounds:     one probe for each requested type and at_most more; at_most * row_count index entries
WITH RECURSIVE requested AS MATERIALIZED (
    SELECT unnest(%(types)s::text[]) AS type
),
walked AS (
    (
        SELECT q.type, 1 AS step
        FROM job_queue AS q
        WHERE q.status = 'pending'
        ORDER BY q.type, q.tenant_id
        LIMIT 1
    )
    UNION ALL
    SELECT following.type, walked.step + 1
    FROM walked
    CROSS JOIN LATERAL (
        SELECT q.type
        FROM job_queue AS q
        WHERE q.status = 'pending' AND q.type > walked.type
        ORDER BY q.type, q.tenant_id
        LIMIT 1
    ) AS following
    WHERE walked.step < (SELECT count(*) FROM requested) + %(at_most)s
),
unserved AS MATERIALIZED (
    SELECT walked.type
    FROM walked
    WHERE walked.type NOT IN (SELECT requested.type FROM requested)
    LIMIT %(at_most)s
)
SELECT
    left(unserved.type, 200) AS type,
    counted.jobs,
    coalesce(date_part('epoch', statement_timestamp()) - date_part('epoch', counted.oldest_due_at), 0) AS oldest_age_seconds
FROM unserved
CROSS JOIN LATERAL (
    SELECT
        count(*) AS jobs,
        min(one.due_at) FILTER (WHERE one.due_at > '-infinity' AND one.due_at <= statement_timestamp()) AS oldest_due_at
    FROM (
        SELECT coalesce(greatest(q.next_retry_at, q.created_at), '-infinity') AS due_at
        FROM job_queue AS q
        WHERE q.status = 'pending' AND q.type = unserved.type
        ORDER BY q.type, q.tenant_id
        LIMIT %(row_count)s
    ) AS one
) AS counted
