-- Finds pending jobs of one type, or of one type and tenant, that match, the newest first. With `looked` at `look` too
-- many wait for this statement, and the answer is not complete.
--
-- Parameters: type text, tenant uuid (NULL: of any), since timestamptz, until timestamptz (inclusive; NULL: none),
--             excluded uuid[], look int, wanted int, and the conditions error, due_after, ended_by,
--             only_ours of by_time.sql
-- Index:      idx_job_queue_due, at most `look` entries and their rows
WITH looked AS MATERIALIZED (
    SELECT
        q.id, q.created_at,
        (
            (%(since)s::timestamptz IS NULL OR q.created_at >= %(since)s::timestamptz)
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
    WHERE
        q.status = 'pending'
        AND q.type = %(type)s::text
        AND q.tenant_id >= coalesce(%(tenant)s::uuid, '00000000-0000-0000-0000-000000000000')
        AND q.tenant_id <= coalesce(%(tenant)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz)
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
