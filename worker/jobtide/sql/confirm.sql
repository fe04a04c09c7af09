-- Finds which of these claims have ended already under their own token: sent after the answer to a finish was lost
-- with its connection, so that an end that did commit is not mistaken for a lost lease.
--
-- Parameters: ids uuid[], tokens text[] (of one length)
-- Index:      job_queue_pkey, one probe a row
SELECT ended.id
FROM unnest(%(ids)s::uuid[], %(tokens)s::text[]) AS asked (id, token)
INNER JOIN job_queue AS ended ON asked.id = ended.id AND asked.token = ended.worker_id
WHERE ended.status <> 'processing'
