-- Which of these rows exist: run after an insert whose answer was lost.
--
-- Parameters: ids uuid[]
-- Index:      job_queue_pkey
SELECT id FROM job_queue WHERE id = ANY(%(ids)s::uuid[])
