-- What: the health of job_queue as vacuum sees it: one row, none without the table. See jobtide.table_health.
-- Reads: the catalogs and the server's statistics, never a row of job_queue. Of other roles' sessions anyone sees
--        backend_xid and backend_xmin, and only pg_read_all_stats since when.
-- Bound: 20 holders. It waits for a lock on job_queue that excludes readers (VACUUM FULL): set lock_timeout.
WITH named AS (
  SELECT c.oid, c.reltuples, coalesce(
    (SELECT jsonb_object_agg(o.option_name, o.option_value) FROM pg_options_to_table(c.reloptions) AS o), '{}'
  ) AS options
  FROM pg_class AS c WHERE c.oid = to_regclass('job_queue')
),
-- Those of this database, and of no database: a standby's feedback without a slot. VACUUM itself holds nothing back.
holders AS (
  SELECT 'session' AS kind, a.pid::text AS name, held.xid, concat_ws(', ', 'role ' || a.usename,
    'application ' || quote_literal(nullif(a.application_name, '')), a.state) AS who,
    -- A snapshot is as old as its statement, unless the transaction keeps it: then it seems younger at the first look.
    -- The statement of a standby is as old as the connection, and its readers' snapshots are not.
    CASE
      WHEN a.datid IS NULL THEN NULL
      WHEN held.xid IS DISTINCT FROM a.backend_xid AND a.state = 'active' THEN a.query_start
      ELSE a.xact_start
    END AS since
  FROM pg_stat_activity AS a
  CROSS JOIN LATERAL (
    SELECT x.xid FROM (VALUES (a.backend_xid), (a.backend_xmin)) AS x (xid)
    WHERE x.xid IS NOT NULL ORDER BY age(x.xid) DESC LIMIT 1
  ) AS held
  WHERE (a.datname = current_database() OR a.datid IS NULL) AND a.pid <> pg_backend_pid()
    AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum AS p WHERE p.pid = a.pid)
  UNION ALL
  SELECT 'prepared', p.gid, p.transaction, 'role ' || p.owner, p.prepared
  FROM pg_prepared_xacts AS p WHERE p.database = current_database()
  UNION ALL
  SELECT 'slot', s.slot_name, s.xmin, s.slot_type, NULL FROM pg_replication_slots AS s WHERE s.xmin IS NOT NULL
),
oldest AS (
  SELECT h.kind, h.name, h.xid, h.who, age(h.xid) AS transactions,
    date_part('epoch', clock_timestamp() - h.since) AS seconds
  FROM holders AS h ORDER BY age(h.xid) DESC, h.since LIMIT 20
)
SELECT
  pg_total_relation_size(n.oid) AS size_bytes,
  CASE WHEN t.is_counted THEN t.n_live_tup END AS live_rows,
  CASE WHEN t.is_counted THEN t.n_dead_tup END AS dead_rows,
  date_part('epoch', clock_timestamp() - greatest(t.last_vacuum, t.last_autovacuum)) AS vacuum_age_seconds,
  least(
    coalesce(n.options ->> 'autovacuum_vacuum_threshold', current_setting('autovacuum_vacuum_threshold'))::float
    + coalesce(n.options ->> 'autovacuum_vacuum_scale_factor', current_setting('autovacuum_vacuum_scale_factor'))::float
    * greatest(n.reltuples, 0),
    -- from version 18 on; -1: no limit
    nullif(coalesce(n.options ->> 'autovacuum_vacuum_max_threshold',
      current_setting('autovacuum_vacuum_max_threshold', true))::float, -1)
  )::bigint AS vacuum_at_rows,
  CASE
    WHEN NOT current_setting('track_counts')::bool THEN 'track_counts'
    WHEN NOT current_setting('autovacuum')::bool THEN 'autovacuum'
    WHEN NOT (n.options ->> 'autovacuum_enabled')::bool THEN 'autovacuum_enabled'
  END AS switched_off,
  coalesce((SELECT jsonb_agg(jsonb_build_object('kind', o.kind, 'name', o.name, 'xid', o.xid::text, 'who', o.who,
    'transactions', o.transactions, 'seconds', o.seconds) ORDER BY o.transactions DESC) FROM oldest AS o), '[]') AS holders
FROM named AS n
CROSS JOIN LATERAL (
  -- The counts are zero where nothing is counted, and after a crash until the next vacuum or ANALYZE.
  SELECT s.*, current_setting('track_counts')::bool AND (
    s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0 OR pg_relation_size(n.oid) = 0
    OR num_nonnulls(s.last_vacuum, s.last_autovacuum, s.last_analyze, s.last_autoanalyze) > 0
  ) AS is_counted
  FROM pg_stat_all_tables AS s WHERE s.relid = n.oid
) AS t
