-- Deletes the test's ended jobs, of this run and of runs that were killed. The controller's login sends it: the workers'
-- may delete nothing.
--
-- Parameters: type text
-- Index:      idx_job_queue_type, job_queue_pkey
-- Bounds:     100 rows; no other jobs are of this type
-- Locks:      these rows
DELETE FROM job_queue AS ended
WHERE
    ended.id IN (
        SELECT q.id
        FROM job_queue AS q
        WHERE
            q.type = %(type)s
            AND q.status IN ('completed', 'failed')
        LIMIT 100
    )
    AND ended.status IN ('completed', 'failed')
RETURNING ended.id
