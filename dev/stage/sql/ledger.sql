-- Records every change of a job's status, by the database's clock. The rows alone can't show at the end how often a
-- job ended, or when it was claimed first. Only for databases of the demo and of tests.
--
-- Locks: SHARE ROW EXCLUSIVE on job_queue for the moment of CREATE TRIGGER
CREATE SCHEMA IF NOT EXISTS jobtide_demo;

CREATE TABLE IF NOT EXISTS jobtide_demo.transitions (
    job_id uuid NOT NULL,
    became job_status NOT NULL,
    worker_id text,
    at timestamptz NOT NULL
);

CREATE INDEX IF NOT EXISTS transitions_job_id ON jobtide_demo.transitions (job_id);

-- The workers' role may not write here: the trigger writes as its owner.
CREATE OR REPLACE FUNCTION jobtide_demo.note_transition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    INSERT INTO jobtide_demo.transitions (job_id, became, worker_id, at)
    VALUES (new.id, new.status, new.worker_id, clock_timestamp());
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER jobtide_demo_note_transition
AFTER UPDATE OF status ON job_queue
FOR EACH ROW WHEN (old.status IS DISTINCT FROM new.status)
EXECUTE FUNCTION jobtide_demo.note_transition();
