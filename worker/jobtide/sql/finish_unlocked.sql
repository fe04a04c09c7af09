-- Ends claims as finish.sql does, but leaves rows that another transaction has locked. Which of the rows that it does
-- not return were locked, and which lost their lease, held.sql tells.
--
-- Parameters: as finish.sql
-- Index:      job_queue_pkey, two probes a row
-- Locks:      these rows, without the locked ones; for others (a trigger's) it waits 0.1 s
WITH unlocked AS MATERIALIZED (
    SELECT q.id
    FROM job_queue AS q
    WHERE q.id = ANY((SELECT %(ids)s::uuid[])::uuid[])
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE job_queue AS ended
SET
    status = outcome.status::job_status,
    result = coalesce(outcome.result::jsonb, ended.result),
    attempts = ended.attempts - outcome.gives_back::int,
    next_retry_at = CASE
        WHEN outcome.status = 'pending' THEN now() + outcome.delay_seconds * interval '1 second'
    END,
    completed_at = CASE WHEN outcome.status IN ('completed', 'failed') THEN now() END
FROM
    unnest(
        (SELECT %(ids)s::uuid[]), (SELECT %(tokens)s::text[]), (SELECT %(attempts)s::int[]),
        (SELECT %(statuses)s::text[]), (SELECT %(results)s::text[]), (SELECT %(delays)s::float8[]),
        (SELECT %(gives_back)s::bool[])
    ) AS outcome (id, token, attempts, status, result, delay_seconds, gives_back)
WHERE
    ended.id = outcome.id
    AND ended.id = ANY(ARRAY(SELECT unlocked.id FROM unlocked))
    AND (SELECT set_config('lock_timeout', '100ms', true)) IS NOT NULL
    AND (ended.status = 'processing') IS TRUE
    AND ended.worker_id = outcome.token
    AND ended.attempts = outcome.attempts
RETURNING ended.id
