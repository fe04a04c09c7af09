-- The table of Oban 2.23.0, as its migrations for PostgreSQL 1 to 14 make it, written by hand: Oban did not run.
-- Columns and defaults are theirs; its indexes are left out.
CREATE TYPE oban_job_state AS ENUM (
  'available', 'suspended', 'scheduled', 'executing', 'retryable', 'completed', 'discarded', 'cancelled'
);

CREATE TABLE oban_jobs (
  id bigserial PRIMARY KEY,
  state oban_job_state NOT NULL DEFAULT 'available',
  queue text NOT NULL DEFAULT 'default',
  worker text NOT NULL,
  args jsonb NOT NULL DEFAULT '{}',
  errors jsonb[] NOT NULL DEFAULT '{}',
  attempt integer NOT NULL DEFAULT 0,
  max_attempts integer NOT NULL DEFAULT 20,
  inserted_at timestamp NOT NULL DEFAULT timezone('UTC', now()),
  scheduled_at timestamp NOT NULL DEFAULT timezone('UTC', now()),
  attempted_at timestamp,
  completed_at timestamp,
  attempted_by text[],
  discarded_at timestamp,
  priority integer NOT NULL DEFAULT 0,
  tags text[] DEFAULT '{}',
  meta jsonb DEFAULT '{}',
  cancelled_at timestamp,
  CONSTRAINT worker_length CHECK (char_length(worker) > 0 AND char_length(worker) < 128),
  CONSTRAINT queue_length CHECK (char_length(queue) > 0 AND char_length(queue) < 128),
  CONSTRAINT positive_max_attempts CHECK (max_attempts > 0),
  CONSTRAINT attempt_range CHECK (attempt >= 0 AND attempt <= max_attempts),
  CONSTRAINT non_negative_priority CHECK (priority >= 0)
);

INSERT INTO oban_jobs (state, worker, args, attempt, scheduled_at, errors) VALUES
  ('available', 'Acme.Thumbs', '{"url": "https://example.com/a.png"}', 0, '2020-11-29 21:14:44', '{}'),
  ('scheduled', 'Acme.Thumbs', '{"url": "https://example.com/later.png"}', 0, '2040-01-01 09:00:00', '{}'),
  ('retryable', 'Acme.Reports', '{"month": "2026-10"}', 1, '2020-11-29 22:14:44', ARRAY['{"attempt": 1}'::jsonb]),
  ('executing', 'Acme.Reports', '{"month": "2026-08"}', 1, '2020-11-29 21:14:44', '{}'),
  ('completed', 'Acme.Reports', '{"month": "2026-09"}', 1, '2020-11-29 21:14:44', '{}');
