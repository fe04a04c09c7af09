-- Lists the jobs that run under claim tokens with this prefix, for the careful variant of a statement that was refused:
-- among the first 10,000 one of each tenant before a second one, so that refused rows of one don't hide those of the
-- others; and those of a tenant together, since they are refused together.
--
-- Parameters: token_prefix text, at_most int
-- Index:      idx_job_queue_status_created_at over the processing rows
SELECT listed.id
FROM (
    SELECT one.id, one.tenant_id
    FROM (
        SELECT
            first.id, first.tenant_id,
            row_number() OVER (PARTITION BY first.tenant_id ORDER BY first.next_retry_at) AS place
        FROM (
            SELECT q.id, q.tenant_id, q.next_retry_at
            FROM job_queue AS q
            WHERE
                q.status = 'processing'
                AND starts_with(left(q.worker_id, 200), %(token_prefix)s)
            LIMIT 10000
        ) AS first
    ) AS one
    ORDER BY one.place
    LIMIT %(at_most)s
) AS listed
ORDER BY listed.tenant_id
