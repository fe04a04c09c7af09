-- What the chaos run adds to a database of the demo: a table in which jobs record their executions, and a trigger that
-- refuses changes of the rows that are marked for it.
--
-- Locks: SHARE ROW EXCLUSIVE on job_queue for the moment of CREATE TRIGGER
CREATE SCHEMA IF NOT EXISTS jobtide_chaos;

CREATE TABLE IF NOT EXISTS jobtide_chaos.effects (
    execution uuid PRIMARY KEY,
    job_id uuid NOT NULL,
    token text NOT NULL
);

TRUNCATE jobtide_chaos.effects;
GRANT USAGE ON SCHEMA jobtide_chaos TO jobtide_worker;
GRANT INSERT, SELECT ON jobtide_chaos.effects TO jobtide_worker;

-- The marks are those of workload.py.
CREATE OR REPLACE FUNCTION jobtide_chaos.refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = ''
AS $$
DECLARE
    mark constant text := old.payload ->> 'refused';
BEGIN
    IF
        (mark = 'claim' AND new.status = 'processing')
        OR (mark = 'result' AND new.status = 'completed')
        OR (
            mark = 'ends' AND new.status IN ('completed', 'failed')
            AND clock_timestamp() < old.created_at + interval '20 seconds'
        )
    THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'chaos refuses ' || new.status || ' for this row';
    END IF;
    RETURN new;
END
$$;

CREATE OR REPLACE TRIGGER jobtide_chaos_refuse
BEFORE UPDATE OF status ON job_queue
FOR EACH ROW WHEN (old.payload ? 'refused' AND old.status IS DISTINCT FROM new.status)
EXECUTE FUNCTION jobtide_chaos.refuse();
