-- The table of River 0.51.2, as its own migrations make it; the jobs are written by hand: River did not run.
-- Its indexes and functions are left out.
CREATE TYPE river_job_state AS ENUM (
  'available', 'cancelled', 'completed', 'discarded', 'pending', 'retryable', 'running', 'scheduled'
);

CREATE TABLE river_job (
  id bigserial PRIMARY KEY,
  state river_job_state NOT NULL DEFAULT 'available',
  attempt smallint NOT NULL DEFAULT 0,
  max_attempts smallint NOT NULL DEFAULT 25,
  attempted_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  finalized_at timestamptz,
  scheduled_at timestamptz NOT NULL DEFAULT now(),
  priority smallint NOT NULL DEFAULT 1,
  args jsonb NOT NULL,
  attempted_by text[],
  errors jsonb[],
  kind text NOT NULL,
  metadata jsonb NOT NULL DEFAULT '{}',
  queue text NOT NULL DEFAULT 'default',
  tags varchar(255)[] NOT NULL DEFAULT '{}',
  unique_key bytea,
  unique_states bit(8),
  CONSTRAINT finalized_or_finalized_at_null CHECK (
    (finalized_at IS NOT NULL) = (state IN ('cancelled', 'completed', 'discarded'))
  ),
  CONSTRAINT kind_length CHECK (char_length(kind) > 0 AND char_length(kind) < 128),
  CONSTRAINT max_attempts_is_positive CHECK (max_attempts > 0),
  CONSTRAINT priority_in_range CHECK (priority >= 1 AND priority <= 4),
  CONSTRAINT queue_length CHECK (char_length(queue) > 0 AND char_length(queue) < 128)
);

INSERT INTO river_job (state, kind, args, scheduled_at) VALUES
  ('available', 'thumbs', '{"url": "https://example.com/a.png"}', '2020-11-29 21:14:44+00'),
  ('scheduled', 'thumbs', '{"url": "https://example.com/later.png"}', '2040-01-01 09:00:00+00');

INSERT INTO river_job (state, kind, args, attempt, max_attempts, scheduled_at, attempted_by, errors) VALUES
  ('retryable', 'reports', '{"month": "2026-10"}', 1, 3, '2020-11-29 22:14:44+00', '{host}',
    ARRAY['{"at": "2020-11-29T21:14:44Z", "error": "down", "trace": "", "attempt": 1}'::jsonb]);

INSERT INTO river_job (state, kind, args, attempt, attempted_at, attempted_by, finalized_at) VALUES
  ('running', 'reports', '{"month": "2026-08"}', 1, '2020-11-29 21:14:44+00', '{host}', NULL),
  ('completed', 'reports', '{"month": "2026-09"}', 1, '2020-11-29 21:14:44+00', '{host}', '2020-11-29 21:14:45+00');
