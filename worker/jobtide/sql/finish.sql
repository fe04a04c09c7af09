-- Ends claims in batches: completed, failed, or pending again (retry, snooze, requeue).
--
-- This is the fence: a row changes only if it is still processing under the claim that is being ended. An id that is
-- not returned has lost its lease (rescued, finished by another worker, deleted with its tenant): its outcome is
-- discarded.
--
-- IS TRUE leaves the planner no index but the primary key: statistics may be older than a burst of running jobs.
--
-- Parameters are in sub-selects, so that one plan serves every batch (see claim.sql).
--
-- Parameters, all arrays of one length: ids uuid[], tokens text[], attempts int[], statuses text[],
--             results text[] (JSON; NULL keeps what the row has), delays float8[] (seconds before a pending row is
--             due; NULL: at once), gives_back bool[] (the attempt: it is not counted)
-- Index:      job_queue_pkey, one probe a row
-- Locks:      these rows; no other statement of Jobtide waits for them: claims and rescues skip locked rows. It waits
--             0.1 s for a lock (set_config runs once, before the first row) and then fails; finish_unlocked.sql
--             follows. Skipping locked rows here would write 55 bytes of WAL more for each job.
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
    AND (SELECT set_config('lock_timeout', '100ms', true)) IS NOT NULL
    AND (ended.status = 'processing') IS TRUE
    AND ended.worker_id = outcome.token
    AND ended.attempts = outcome.attempts
RETURNING ended.id
