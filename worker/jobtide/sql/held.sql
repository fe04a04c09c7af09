-- Finds which of these claims still hold their row: those that a statement left because their row was locked. The
-- others have lost their lease.
--
-- Parameters, arrays of one length: ids uuid[], tokens text[], attempts int[]
-- Index:      job_queue_pkey, one probe a row
SELECT held.id
FROM
    unnest(%(ids)s::uuid[], %(tokens)s::text[], %(attempts)s::int[]) AS asked (id, token, attempts)
INNER JOIN job_queue AS held ON asked.id = held.id
WHERE
    (held.status = 'processing') IS TRUE
    AND held.worker_id = asked.token
    AND held.attempts = asked.attempts
