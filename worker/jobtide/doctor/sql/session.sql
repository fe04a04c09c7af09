-- What: what the server says about this session: its role, its encryption, its settings, and clients of Jobtide.
-- Reads: catalogs and statistics that any role may read; one row.
SELECT
  current_setting('server_version') AS version,
  current_setting('server_version_num')::int AS version_num,
  pg_backend_pid() AS pid,
  session_user AS session_user,
  current_user AS role,
  r.rolsuper AS is_superuser,
  r.rolbypassrls AS bypasses_rls,
  pg_has_role((SELECT c.relowner FROM pg_class AS c WHERE c.oid = to_regclass('job_queue')), 'USAGE') AS is_owner,
  ARRAY(
    SELECT g.rolname::text FROM pg_roles AS g
    WHERE g.rolname IN ('jobtide_worker', 'jobtide_controller', 'jobtide_operator') AND pg_has_role(g.oid, 'USAGE')
    ORDER BY g.rolname
  ) AS groups,
  (SELECT s.version FROM pg_stat_ssl AS s WHERE s.pid = pg_backend_pid() AND s.ssl) AS tls,
  (SELECT count(*) FROM pg_stat_activity AS a WHERE a.usename IS NOT NULL)::int AS connections,
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most_connections,
  -- CONNECTION LIMIT of the login and of the database: -1 for none. Superusers are not limited.
  (
    SELECT jsonb_build_object(
      'role', jsonb_build_object(
        'name', quote_ident(l.rolname), 'most', CASE WHEN l.rolsuper THEN -1 ELSE l.rolconnlimit END,
        'used', (SELECT count(*) FROM pg_stat_activity AS a WHERE a.usesysid = l.oid)
      ),
      'database', jsonb_build_object(
        'name', quote_ident(d.datname), 'most', CASE WHEN l.rolsuper THEN -1 ELSE d.datconnlimit END,
        'used', (SELECT count(*) FROM pg_stat_activity AS a WHERE a.datid = d.oid AND a.usename IS NOT NULL)
      )
    )
    FROM pg_roles AS l, pg_database AS d WHERE l.rolname = session_user AND d.datname = current_database()
  ) AS connection_limits,
  (
    SELECT coalesce(jsonb_object_agg(named.application, named.clients), '{}')
    FROM (
      SELECT a.application_name AS application, count(*) AS clients FROM pg_stat_activity AS a
      WHERE a.datname = current_database() AND a.application_name LIKE 'jobtide-%' GROUP BY 1 LIMIT 20
    ) AS named
  ) AS clients,
  -- As they are for a new session. SHOW of one that this version lacks would be an error.
  (
    SELECT jsonb_object_agg(s.name, jsonb_build_object('value', s.reset_val, 'source', s.source)) FROM pg_settings AS s
    WHERE s.name IN (
      'default_transaction_isolation', 'default_transaction_read_only', 'session_replication_role',
      'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
      'transaction_timeout', 'synchronous_commit', 'row_security', 'track_counts'
    )
  ) AS settings,
  date_part('epoch', clock_timestamp()) AS clock
FROM pg_roles AS r WHERE r.rolname = current_user
