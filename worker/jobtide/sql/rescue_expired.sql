-- Requeues jobs whose lease has expired: the fallback for workers that died unnoticed.
--
-- The job becomes a suspect: it runs apart until it is known whether it ends its worker's process. Only rows under a claim
-- token of Jobtide: other consumers of the table leave a past next_retry_at on rows that they work on.
--
-- One job of each tenant before a second one, among the first 10,000: a tenant may have forged expired claims.
--
-- Parameters: at_most int; ids uuid[] (NULL: all; a part of them after a refusal)
-- Index:      idx_job_queue_status_created_at over the processing rows, which are as many as jobs run at once
-- Locks:      at most `at_most` rows; locked ones (their end is being written) are skipped
WITH expired AS MATERIALIZED (
    SELECT q.id
    FROM (
        SELECT one.id, row_number() OVER (PARTITION BY one.tenant_id ORDER BY one.next_retry_at) AS place
        FROM (
            SELECT o.id, o.tenant_id, o.next_retry_at
            FROM job_queue AS o
            WHERE
                o.status = 'processing'
                AND coalesce(o.next_retry_at, '-infinity'::timestamptz) < now() -- NULL: another client cleared it
                AND starts_with(left(o.worker_id, 8), 'jobtide:')
                AND (%(ids)s::uuid[] IS NULL OR o.id = ANY(%(ids)s::uuid[]))
            LIMIT 10000
        ) AS one
    ) AS found
    INNER JOIN job_queue AS q ON found.id = q.id
    WHERE
        q.status = 'processing' -- again: it may have been extended or ended since
        AND coalesce(q.next_retry_at, '-infinity'::timestamptz) < now()
    ORDER BY found.place
    LIMIT %(at_most)s
    FOR NO KEY UPDATE OF q SKIP LOCKED
)
UPDATE job_queue AS rescued
SET
    status = 'pending',
    next_retry_at = NULL,
    -- Only a job that ran alone (its mark is 3) is known to be the cause: see the ADR on suspects.
    attempts = greatest(1, rescued.attempts) - (rescued.result ->> 'suspect' IS DISTINCT FROM '3')::int,
    result = jsonb_build_object('error', jsonb_build_object(
        'type', 'LeaseExpired',
        'message', 'the worker did not extend its lease: it died, hung or lost its database',
        'attempt', rescued.attempts,
        'at', now()
    ), 'suspect', CASE WHEN rescued.result ->> 'suspect' IN ('1', '2', '3') THEN 2 ELSE 1 END)
FROM expired
WHERE rescued.id = expired.id
RETURNING rescued.id, left(rescued.type, 200) AS type, rescued.tenant_id, rescued.attempts
