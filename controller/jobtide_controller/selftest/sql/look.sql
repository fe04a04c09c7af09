-- What became of the job.
--
-- Parameters: id uuid
-- Index:      job_queue_pkey, one row
SELECT
    q.status::text AS status,
    q.result
FROM job_queue AS q
WHERE q.id = %(id)s
