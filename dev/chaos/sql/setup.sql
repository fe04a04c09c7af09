-- The table in which the jobs of the chaos run record their executions. Only for databases of the demo.
--
-- Locks: none that another session waits for
CREATE SCHEMA IF NOT EXISTS jobtide_chaos;

CREATE TABLE IF NOT EXISTS jobtide_chaos.effects (
    execution uuid PRIMARY KEY,
    job_id uuid NOT NULL,
    token text NOT NULL
);

TRUNCATE jobtide_chaos.effects;
GRANT USAGE ON SCHEMA jobtide_chaos TO jobtide_worker;
GRANT INSERT, SELECT ON jobtide_chaos.effects TO jobtide_worker;
