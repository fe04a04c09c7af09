-- Every job of these tenants, with what the ledger recorded of it.
--
-- Parameters: tenants uuid[]
-- Index:      idx_job_queue_tenant_id, transitions_job_id
SELECT
    job.id,
    job.status::text,
    job.result,
    job.attempts,
    coalesce(seen.accepted_ends, 0)::int AS accepted_ends,
    extract(EPOCH FROM seen.first_claim_at - job.created_at)::float8 AS wait_seconds
FROM job_queue AS job
LEFT JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE entry.became IN ('completed', 'failed')) AS accepted_ends,
        min(entry.at) FILTER (WHERE entry.became = 'processing') AS first_claim_at
    FROM jobtide_demo.transitions AS entry
    WHERE entry.job_id = job.id
) AS seen ON true
WHERE job.tenant_id = ANY(%(tenants)s::uuid[])
