-- What: a trigger by which an INSERT of jobs wakes workers that rest, and the controller.
-- Why:  a job starts after milliseconds, not at the next poll. NOTIFY makes commits wait for each other, so it is sent
--       only where a worker rests: one that does holds advisory locks, which this function tries and gives back at once.
--       With no worker there it is one such try. It runs with the inserter's rights, reads no table, and no error in it
--       reaches the INSERT. A notification names the server processes that it wakes, as many as there are jobs.
--       A transaction that has notified can't be prepared (PREPARE TRANSACTION): where the server allows prepared ones,
--       only sessions with jobtide.wake = 'on' notify, as set by ALTER DATABASE or ALTER ROLE.
-- Lock: SHARE ROW EXCLUSIVE on job_queue for the moment of CREATE TRIGGER: writes wait, reads go on.
DO $wake$
DECLARE
  -- The locks, of the two-integer form: (1785684598, table) of every session that rests, (1785684596, type) of those that
  -- rest for a type, (1785684597, table) of those that rest for all types. (1785684597, type) is not tried: it marks a
  -- session that every insert notifies, also of jobs due later. The table is its oid, a type its hash # that oid, so that
  -- two queues of one database do not share them. See sql/rest.sql of the worker.
  -- Each step is there for its price: 3 us where no session rests, 8 us where none rests for these types. A try also
  -- fails while another producer tries, so the first lock is tried again.
  body constant text := $body$
DECLARE
  pids text;
BEGIN
  IF (CASE WHEN pg_try_advisory_lock(1785684598, TG_RELID::int) THEN pg_advisory_unlock(1785684598, TG_RELID::int) ELSE false END)
    OR (CASE WHEN pg_try_advisory_lock(1785684598, TG_RELID::int) THEN pg_advisory_unlock(1785684598, TG_RELID::int) ELSE false END)
    OR (CASE WHEN pg_try_advisory_lock(1785684598, TG_RELID::int) THEN pg_advisory_unlock(1785684598, TG_RELID::int) ELSE false END)
  THEN
    RETURN NULL;
  END IF;
  IF current_setting('max_prepared_transactions') <> '0'
    AND coalesce(current_setting('jobtide.wake', true), '') <> 'on' THEN
    RETURN NULL;
  END IF;
  IF (CASE WHEN pg_try_advisory_lock(1785684597, TG_RELID::int) THEN pg_advisory_unlock(1785684597, TG_RELID::int) ELSE false END)
    AND NOT EXISTS (
      SELECT FROM inserted
      WHERE NOT CASE WHEN pg_try_advisory_lock(1785684596, hashtext(type COLLATE "C") # TG_RELID::int)
        THEN pg_advisory_unlock(1785684596, hashtext(type COLLATE "C") # TG_RELID::int) ELSE false END
    )
  THEN
    RETURN NULL;
  END IF;
  IF pg_notification_queue_usage() > 0.5 THEN
    RETURN NULL;
  END IF;
  -- At random, so that statements of the same moment wake different ones; at most as many as a payload holds.
  WITH held AS MATERIALIZED (
    SELECT l.pid, l.classid::int AS class, l.objid
    FROM pg_locks AS l
    WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.mode = 'ShareLock'
      AND l.classid IN (1785684596, 1785684597)
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  ), waiting AS (
    SELECT
      (hashtext(type COLLATE "C") # TG_RELID::int)::oid AS hash,
      count(*) FILTER (WHERE coalesce(next_retry_at, created_at, '-infinity') <= clock_timestamp()) AS due
    FROM inserted
    WHERE status::text = 'pending'
    GROUP BY 1
  ), notified AS (
    SELECT worker.pid
    FROM waiting CROSS JOIN LATERAL (
      SELECT held.pid FROM held
      WHERE held.objid = waiting.hash
      GROUP BY held.pid
      HAVING bool_and(held.class = 1785684596)
      ORDER BY random() LIMIT waiting.due
    ) AS worker
    UNION
    SELECT held.pid FROM held
    WHERE held.class = 1785684597 AND (held.objid = TG_RELID OR held.objid IN (SELECT waiting.hash FROM waiting))
  )
  SELECT string_agg(chosen.pid::text, ' ') INTO pids FROM (SELECT notified.pid FROM notified LIMIT 500) AS chosen;
  IF pids IS NOT NULL THEN
    PERFORM pg_notify('jobtide', pids);
  END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END
$body$;
  home constant text := (
    SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass('job_queue')
  );
BEGIN
  IF NOT EXISTS (
    SELECT FROM pg_proc AS p
    WHERE p.proname = 'jobtide_wake' AND p.prosrc = body AND p.proconfig = ARRAY['search_path=pg_catalog, pg_temp']
      AND p.pronamespace = (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid = to_regclass('job_queue'))
  ) THEN
    EXECUTE format(
      'CREATE OR REPLACE FUNCTION %I.jobtide_wake() RETURNS trigger LANGUAGE plpgsql '
      'SET search_path = pg_catalog, pg_temp AS %L',
      home, body
    );
  END IF;
  IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('job_queue') AND tgname = 'jobtide_wake') THEN
    EXECUTE format(
      'CREATE TRIGGER jobtide_wake AFTER INSERT ON job_queue REFERENCING NEW TABLE AS inserted '
      'FOR EACH STATEMENT EXECUTE FUNCTION %I.jobtide_wake()',
      home
    );
  END IF;
END
$wake$;
