-- The table of pg-boss 12.38.0: what its own programs made, with jobs of each state that they ran.
-- Its indexes, functions and table of queues are left out.
CREATE SCHEMA pgboss;

CREATE TYPE pgboss.job_state AS ENUM ('created', 'retry', 'active', 'completed', 'cancelled', 'failed');

CREATE TABLE pgboss.job (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  name text NOT NULL,
  priority integer NOT NULL DEFAULT 0,
  data jsonb,
  state pgboss.job_state NOT NULL DEFAULT 'created',
  retry_limit integer NOT NULL DEFAULT 2,
  retry_count integer NOT NULL DEFAULT 0,
  retry_delay integer NOT NULL DEFAULT 0,
  retry_backoff boolean NOT NULL DEFAULT false,
  retry_delay_max integer,
  expire_seconds integer NOT NULL DEFAULT 900,
  deletion_seconds integer NOT NULL DEFAULT 604800,
  singleton_key text,
  singleton_on timestamp,
  group_id text,
  group_tier text,
  start_after timestamptz NOT NULL DEFAULT now(),
  created_on timestamptz NOT NULL DEFAULT now(),
  started_on timestamptz,
  completed_on timestamptz,
  keep_until timestamptz NOT NULL DEFAULT now() + interval '14 days',
  output jsonb,
  dead_letter text,
  policy text,
  heartbeat_on timestamptz,
  heartbeat_seconds integer,
  blocked boolean NOT NULL DEFAULT false,
  blocking boolean NOT NULL DEFAULT false,
  pending_dependencies integer NOT NULL DEFAULT 0,
  source_name text,
  source_id uuid,
  source_created_on timestamptz,
  source_retry_count integer,
  source_output jsonb,
  source_root_id uuid,
  trace_context jsonb,
  upsert_by_key boolean,
  PRIMARY KEY (name, id)
) PARTITION BY LIST (name);

CREATE TABLE pgboss.job_common PARTITION OF pgboss.job DEFAULT;

INSERT INTO pgboss.job (name, data, retry_limit, start_after, policy) VALUES
  ('thumbs', '{"url": "https://example.com/a.png"}', 4, '2020-11-29 21:14:43+00', 'standard'),
  ('thumbs', '{"url": "https://example.com/later.png"}', 4, '2040-01-01 09:00:00+00', 'standard');

INSERT INTO pgboss.job (name, data, state, retry_limit, retry_delay, start_after, started_on, output, policy) VALUES
  ('reports', '{"month": "2026-10"}', 'retry', 3, 3600, '2020-11-29 22:14:43+00', '2020-11-29 21:14:43+00',
    '{"message": "down"}', 'standard');

INSERT INTO pgboss.job (name, priority, data, state, singleton_key, started_on, completed_on, policy) VALUES
  ('reports', 5, '{"month": "2026-11"}', 'active', '2026-11', '2020-11-29 21:14:43+00', NULL, 'standard'),
  ('reports', 0, '{"month": "2026-09"}', 'completed', NULL, '2020-11-29 21:14:43+00', '2020-11-29 21:14:44+00',
    'standard');
