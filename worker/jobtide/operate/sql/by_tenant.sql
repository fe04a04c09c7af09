-- Finds jobs of one tenant that match, the newest first. With `looked` at `look` the tenant has too many jobs for this
-- statement, and the answer is not complete.
--
-- The tenant is a range of one value, so that the planner reads the index in its order: for an equality with a LIMIT it
-- may read the whole table, if it takes the tenant for a common one.
--
-- Parameters: tenant uuid, statuses text[], since timestamptz, until timestamptz (inclusive; NULL: none),
--             excluded uuid[], look int, wanted int, and the conditions type, error, due_after, ended_by,
--             only_ours of by_time.sql
-- Index:      idx_job_queue_tenant_id, at most `look` entries and their rows
WITH looked AS MATERIALIZED (
    SELECT
        q.id, q.created_at,
        (
            q.status = ANY(%(statuses)s::text[]::job_status[])
            AND (%(type)s::text IS NULL OR q.type = %(type)s::text)
            AND (%(since)s::timestamptz IS NULL OR q.created_at >= %(since)s::timestamptz)
            AND (%(until)s::timestamptz IS NULL OR q.created_at <= %(until)s::timestamptz)
            AND (
                %(due_after)s::timestamptz IS NULL
                OR coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) > %(due_after)s::timestamptz
            )
            AND (%(ended_by)s::timestamptz IS NULL OR coalesce(q.completed_at, '-infinity') <= %(ended_by)s::timestamptz)
            AND (
                %(error)s::text IS NULL
                OR CASE
                    WHEN pg_column_size(q.result #> '{error}') <= 65536
                        AND NOT (q.result #> '{error}') @? 'strict $.** ? (@ > 1e1000 || @ < -1e1000)'
                        THEN strpos(lower(left(q.result #>> '{error}', 20000)), lower(%(error)s::text)) > 0
                END
            )
            AND (NOT %(only_ours)s::bool OR q.status <> 'processing' OR q.worker_id ^@ 'jobtide:')
            AND q.id <> ALL(%(excluded)s::uuid[])
        ) IS TRUE AS matches
    FROM job_queue AS q
    WHERE q.tenant_id >= %(tenant)s::uuid AND q.tenant_id <= %(tenant)s::uuid
    ORDER BY q.tenant_id
    LIMIT %(look)s::int
)
SELECT
    (SELECT count(*) FROM looked) AS looked,
    ARRAY(
        SELECT looked.id
        FROM looked
        WHERE looked.matches
        ORDER BY looked.created_at DESC NULLS LAST
        LIMIT %(wanted)s::int
    ) AS ids
