-- The tables of Procrastinate 3.10.0: what its own programs made, with jobs of each state that they ran.
-- Its indexes, triggers, functions and tables of events are left out.
CREATE TYPE procrastinate_job_status AS ENUM (
  'todo', 'doing', 'succeeded', 'failed', 'cancelled', 'aborting', 'aborted'
);

CREATE TABLE procrastinate_workers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  last_heartbeat timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE procrastinate_jobs (
  id bigserial PRIMARY KEY,
  queue_name varchar(128) NOT NULL,
  task_name varchar(128) NOT NULL,
  priority integer NOT NULL DEFAULT 0,
  lock text,
  queueing_lock text,
  args jsonb NOT NULL DEFAULT '{}',
  status procrastinate_job_status NOT NULL DEFAULT 'todo',
  scheduled_at timestamptz,
  attempts integer NOT NULL DEFAULT 0,
  abort_requested boolean NOT NULL DEFAULT false,
  worker_id bigint REFERENCES procrastinate_workers (id) ON DELETE SET NULL,
  CONSTRAINT check_not_todo_abort_requested CHECK (NOT (status = 'todo' AND abort_requested))
);

INSERT INTO procrastinate_workers DEFAULT VALUES;

INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, scheduled_at, attempts) VALUES
  ('default', 'thumbs', '{"url": "https://example.com/a.png"}', 'todo', NULL, 0),
  ('default', 'thumbs', '{"url": "https://example.com/later.png"}', 'todo', '2040-01-01 09:00:00+00', 0),
  ('default', 'reports', '{"month": "2026-10"}', 'todo', '2020-11-29 22:14:46+00', 1),
  ('default', 'reports', '{"month": "2026-09"}', 'succeeded', NULL, 1);

INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, status, worker_id) VALUES
  ('default', 'reports', 5, '2026-11', '2026-11', '{"month": "2026-11"}', 'todo', NULL),
  ('default', 'reports', 99, NULL, NULL, '{"month": "2026-08"}', 'doing', 1);
