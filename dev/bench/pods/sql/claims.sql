-- Every claim of the jobs of one type, in order, from the ledger (dev/stage/sql/ledger.sql).
--
-- Parameters: tenant uuid, type text
-- Index:      idx_job_queue_tenant_id, transitions_job_id
SELECT
    job.id AS job_id,
    extract(EPOCH FROM job.created_at)::float8 AS inserted_at,
    extract(EPOCH FROM entry.at)::float8 AS claimed_at,
    split_part(entry.worker_id, ':', 2) AS pod_uid,
    (
        SELECT extract(EPOCH FROM min(later.at))::float8
        FROM jobtide_demo.transitions AS later
        WHERE later.job_id = job.id AND later.became <> 'processing' AND later.at >= entry.at
    ) AS ended_at
FROM job_queue AS job
INNER JOIN jobtide_demo.transitions AS entry ON entry.job_id = job.id AND entry.became = 'processing'
WHERE job.tenant_id = %(tenant)s AND job.type = %(type)s
ORDER BY entry.at
