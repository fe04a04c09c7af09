-- The tables of Graphile Worker 0.17.3: what its own programs made, with jobs of each state that they ran.
-- Its indexes, functions and views are left out.
CREATE SCHEMA graphile_worker;

CREATE TABLE graphile_worker._private_job_queues (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue_name text NOT NULL UNIQUE CHECK (length(queue_name) <= 128),
  locked_at timestamptz,
  locked_by text,
  is_available boolean NOT NULL GENERATED ALWAYS AS (locked_at IS NULL) STORED
);

CREATE TABLE graphile_worker._private_tasks (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  identifier text NOT NULL UNIQUE CHECK (length(identifier) <= 128)
);

CREATE TABLE graphile_worker._private_jobs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_queue_id integer,
  task_id integer NOT NULL,
  payload json NOT NULL DEFAULT '{}',
  priority smallint NOT NULL DEFAULT 0,
  run_at timestamptz NOT NULL DEFAULT now(),
  attempts smallint NOT NULL DEFAULT 0,
  max_attempts smallint NOT NULL DEFAULT 25 CHECK (max_attempts >= 1),
  last_error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  key text UNIQUE CHECK (length(key) > 0 AND length(key) <= 512),
  locked_at timestamptz,
  locked_by text,
  revision integer NOT NULL DEFAULT 0,
  flags jsonb,
  is_available boolean NOT NULL GENERATED ALWAYS AS (locked_at IS NULL AND attempts < max_attempts) STORED
);

ALTER TABLE graphile_worker._private_job_queues ENABLE ROW LEVEL SECURITY;
ALTER TABLE graphile_worker._private_jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE graphile_worker._private_tasks ENABLE ROW LEVEL SECURITY;

INSERT INTO graphile_worker._private_job_queues (queue_name) VALUES ('reports');
INSERT INTO graphile_worker._private_tasks (identifier) VALUES ('thumbs'), ('reports');

INSERT INTO graphile_worker._private_jobs (task_id, payload, run_at) VALUES
  (1, '{"url":"https://example.com/a.png"}', '2020-11-29 21:14:44+00'),
  (1, '{"url":"https://example.com/later.png"}', '2040-01-01 09:00:00+00');

INSERT INTO graphile_worker._private_jobs (task_id, payload, run_at, attempts, max_attempts, last_error) VALUES
  (2, '{"month":"2026-10"}', '2020-11-29 21:14:47+00', 1, 3, 'down'),
  (2, '{"month":"2026-08"}', '2020-11-29 21:14:47+00', 1, 1, 'down');

INSERT INTO graphile_worker._private_jobs (job_queue_id, task_id, payload, priority, run_at, key) VALUES
  (1, 2, '{"month":"2026-11"}', 5, '2020-11-29 21:14:44+00', '2026-11');

INSERT INTO graphile_worker._private_jobs (task_id, payload, run_at, attempts, locked_at, locked_by) VALUES
  (2, '{"month":"2026-09"}', '2020-11-29 21:14:44+00', 1, '2020-11-29 21:14:44+00', 'worker-1');
