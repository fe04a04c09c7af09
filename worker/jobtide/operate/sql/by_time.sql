-- Finds jobs of one status that match, the newest first, among the newest `look` of that status in a window of creation
-- times. Stops at `wanted`. If the walk ends at `look`, its last row is returned too, matching or not: the next walk
-- begins there.
--
-- Rows without created_at, or at infinity, are in no window: by_tenant.sql and by_type.sql find them.
-- The error's text is not rendered unless it is asked for, and only where a byte of jsonb has few characters: one number
-- such as 1e131071 has 131,072, and an array of them would end the statement. Errors of more than 64 KiB are not searched.
--
-- Parameters: status text, since timestamptz, until timestamptz (both inclusive), excluded uuid[], look int, wanted int,
--             and the conditions (NULL: none): type text, tenant uuid, error text (a part of the error, in any case of letters),
--             due_after timestamptz (due later than that), ended_by timestamptz (not ended after that),
--             only_ours bool (no job that another consumer of the table runs)
-- Index:      idx_job_queue_status_created_at, at most `look` entries and their rows
SELECT found.id, found.created_at, found.matches, found.place
FROM (
    SELECT
        q.id, q.created_at,
        row_number() OVER (ORDER BY q.status DESC, q.created_at DESC) AS place,
        (
            (%(type)s::text IS NULL OR q.type = %(type)s::text)
            AND (%(tenant)s::uuid IS NULL OR q.tenant_id = %(tenant)s::uuid)
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
        q.status = %(status)s::text::job_status
        AND q.created_at >= %(since)s::timestamptz
        AND q.created_at <= %(until)s::timestamptz
    ORDER BY q.status DESC, q.created_at DESC
    LIMIT %(look)s::int
) AS found
WHERE found.matches OR found.place = %(look)s::int
LIMIT %(wanted)s::int
