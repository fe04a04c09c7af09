-- How many jobs have been due for a while and are not claimed, without those whose claims are refused.
--
-- Parameters: tenants uuid[], seconds float8
-- Index:      idx_job_queue_status_created_at over the pending rows
SELECT count(*)
FROM job_queue
WHERE
    status = 'pending'
    AND tenant_id = ANY(%(tenants)s::uuid[])
    AND coalesce(next_retry_at, created_at) < now() - %(seconds)s::float8 * interval '1 second'
    AND payload ->> 'refused' IS DISTINCT FROM 'claim'
