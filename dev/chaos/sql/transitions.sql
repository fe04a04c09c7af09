-- Every change of a job's status, in order.
SELECT job_id, became::text, worker_id, extract(EPOCH FROM at)::float8 AS at
FROM jobtide_demo.transitions
ORDER BY job_id, at
