-- Finds one job if it matches. Its lock is not waited for: a job that another transaction holds is found as well.
--
-- Parameters: id uuid, statuses text[], and the conditions due_after, ended_by, only_ours of by_time.sql
-- Index:      job_queue_pkey
SELECT q.id
FROM job_queue AS q
WHERE
    q.id = %(id)s::uuid
    AND (
        q.status = ANY(%(statuses)s::text[]::job_status[])
        AND (
            %(due_after)s::timestamptz IS NULL
            OR coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) > %(due_after)s::timestamptz
        )
        AND (%(ended_by)s::timestamptz IS NULL OR coalesce(q.completed_at, '-infinity') <= %(ended_by)s::timestamptz)
        AND (NOT %(only_ours)s::bool OR q.status <> 'processing' OR q.worker_id ^@ 'jobtide:')
    ) IS TRUE
