-- What the table knows about why a job waits: its place among the due jobs of its tenant and type, and what runs.
-- Each count ends at `most`. A job that is not pending has no place.
--
-- Parameters: id uuid, cap_types text[] (the types that share a tenant's cap; the job's own counts too), most int
-- Index:      job_queue_pkey; idx_job_queue_due and idx_job_queue_running, at most `most` entries for each count
WITH job AS MATERIALIZED (
    SELECT
        q.id, q.type, q.tenant_id,
        CASE WHEN q.status = 'pending' THEN coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) END AS due_at,
        q.next_retry_at
    FROM job_queue AS q
    WHERE q.id = %(id)s::uuid
)
SELECT
    (SELECT date_part('epoch', coalesce(job.due_at, job.next_retry_at)) - date_part('epoch', now()) FROM job)
        AS seconds_to_go,
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM job_queue AS q
            WHERE
                q.status = 'pending'
                AND q.type = (SELECT job.type FROM job)
                AND q.tenant_id = (SELECT job.tenant_id FROM job)
                AND (coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id)
                    < ((SELECT job.due_at FROM job), (SELECT job.id FROM job))
            ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz)
            LIMIT %(most)s::int
        ) AS earlier
    ) AS ahead,
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM (
                SELECT unnest(%(cap_types)s::text[]) AS type
                UNION
                SELECT job.type FROM job
            ) AS counted
            CROSS JOIN LATERAL (
                SELECT
                FROM job_queue AS q
                WHERE
                    q.status = 'processing' AND q.worker_id ^@ 'jobtide:'
                    AND q.type = counted.type AND q.tenant_id = (SELECT job.tenant_id FROM job)
                ORDER BY q.type, q.tenant_id
            ) AS one
            LIMIT %(most)s::int
        ) AS running
    ) AS tenant_running,
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM job_queue AS q
            WHERE
                q.status = 'processing' AND q.worker_id ^@ 'jobtide:'
                AND q.type = (SELECT job.type FROM job) AND q.tenant_id = (SELECT job.tenant_id FROM job)
            ORDER BY q.type, q.tenant_id
            LIMIT %(most)s::int
        ) AS running
    ) AS tenant_type_running,
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM job_queue AS q
            WHERE q.status = 'processing' AND q.worker_id ^@ 'jobtide:' AND q.type = (SELECT job.type FROM job)
            ORDER BY q.type, q.tenant_id
            LIMIT %(most)s::int
        ) AS running
    ) AS type_running
