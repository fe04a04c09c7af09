-- What: all facts about the table that the checks need, as one JSON value in one row.
-- Reads: the catalogs alone, never a row of job_queue, and no object by a name that may be missing.
WITH job_queue AS (
  SELECT c.oid, c.relkind, c.relnamespace::regnamespace::text AS schema_name
  FROM pg_class AS c WHERE c.oid = to_regclass('job_queue')
),
-- The columns of each table, and this role's rights on them.
columns AS (
  SELECT a.attrelid, jsonb_object_agg(a.attname, jsonb_build_object(
    'type', format_type(a.atttypid, a.atttypmod),
    'not_null', a.attnotnull,
    'has_default', a.atthasdef,
    'grants', array_remove(ARRAY[
      CASE WHEN has_column_privilege(a.attrelid, a.attnum, 'SELECT') THEN 'SELECT' END,
      CASE WHEN has_column_privilege(a.attrelid, a.attnum, 'INSERT') THEN 'INSERT' END,
      CASE WHEN has_column_privilege(a.attrelid, a.attnum, 'UPDATE') THEN 'UPDATE' END
    ], NULL)
  )) AS by_name
  FROM pg_attribute AS a
  WHERE a.attrelid IN (to_regclass('job_queue'), to_regclass('tenants'), to_regclass('users'))
    AND a.attnum > 0 AND NOT a.attisdropped
  GROUP BY a.attrelid
),
-- The enum of the status column; before there is a table, the enum that it would get.
status_type AS (
  SELECT coalesce(
    (SELECT a.atttypid FROM pg_attribute AS a
      WHERE a.attrelid = to_regclass('job_queue') AND a.attname = 'status' AND NOT a.attisdropped),
    to_regtype('job_status')::oid
  ) AS oid
),
-- The policies that apply to this role. RLS hides nothing if one of them accepts every row; the controller changes
-- only the rows that its own policy names.
policies AS (
  SELECT p.polcmd, p.polpermissive, p.polname = 'jobtide_controller_rescue_policy' AS is_rescue,
    pg_get_expr(p.polqual, p.polrelid) = 'true' AS sees_all,
    coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid)) = 'true' AS writes_all
  FROM pg_policy AS p
  WHERE p.polrelid = to_regclass('job_queue')
    AND EXISTS (SELECT FROM unnest(p.polroles) AS r (oid) WHERE r.oid = 0 OR pg_has_role(r.oid, 'USAGE'))
),
visibility AS (
  SELECT
    coalesce(bool_or(polpermissive AND sees_all AND polcmd IN ('*', 'r')), false)
    AND NOT coalesce(bool_or(NOT polpermissive AND NOT sees_all AND polcmd IN ('*', 'r')), false) AS can_see,
    coalesce(bool_or(polpermissive AND (is_rescue OR (sees_all AND writes_all)) AND polcmd IN ('*', 'w')), false)
    AND NOT coalesce(bool_or(NOT polpermissive AND NOT (sees_all AND writes_all) AND polcmd IN ('*', 'w')), false)
      AS can_change
  FROM policies
),
-- Roles of tenants' users that may write more than a waiting job. Where RLS is on, they reach the table themselves.
forgers AS (
  SELECT jsonb_agg(r.rolname ORDER BY r.rolname) AS names
  FROM pg_roles AS r
  WHERE r.rolname IN ('anon', 'authenticated')
    AND (
      EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('job_queue') AND NOT a.attisdropped
          AND a.attname IN ('status', 'result', 'worker_id', 'attempts', 'created_at', 'completed_at')
          AND has_column_privilege(r.oid, a.attrelid, a.attnum, 'INSERT, UPDATE')
      )
      OR (
        has_any_column_privilege(r.oid, to_regclass('job_queue')::oid, 'INSERT, UPDATE')
        AND 2 > (
          SELECT count(*) FROM pg_policy AS p
          WHERE p.polrelid = to_regclass('job_queue') AND NOT p.polpermissive
            AND p.polname IN ('jobtide_tenant_insert_wall', 'jobtide_tenant_update_wall')
        )
      )
    )
),
indexes AS (
  SELECT jsonb_object_agg(c.relname, jsonb_build_object(
    'valid', i.indisvalid,
    'unique', i.indisunique AND i.indpred IS NULL,
    'keys', (SELECT jsonb_agg(pg_get_indexdef(i.indexrelid, k, true) ORDER BY k)
             FROM generate_series(1, i.indnkeyatts) AS k),
    'predicate', pg_get_expr(i.indpred, i.indrelid),
    'definition', pg_get_indexdef(i.indexrelid)
  )) AS by_name
  FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
  WHERE i.indrelid = to_regclass('job_queue')
)
SELECT jsonb_build_object(
  'role', current_user,
  'database', current_database(),
  'encoding', current_setting('server_encoding'),
  'search_path', current_setting('search_path'),
  'in_recovery', pg_is_in_recovery(),
  'table', (SELECT jsonb_build_object(
      'schema', q.schema_name,
      'kind', q.relkind,
      'columns', (SELECT by_name FROM columns WHERE attrelid = q.oid),
      'indexes', coalesce((SELECT by_name FROM indexes), '{}'),
      'rls_active', row_security_active(q.oid),
      'can_see', (SELECT can_see FROM visibility),
      'can_change', (SELECT can_change FROM visibility),
      'forgers', (SELECT names FROM forgers)
    ) FROM job_queue AS q),
  'status_type', (SELECT format_type(oid, NULL) FROM status_type),
  'status_values', (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder)
                    FROM pg_enum AS e WHERE e.enumtypid = (SELECT oid FROM status_type)),
  'tenants', (SELECT by_name FROM columns WHERE attrelid = to_regclass('tenants')),
  'users', (SELECT by_name FROM columns WHERE attrelid = to_regclass('users')),
  'unsafe_functions', (
    SELECT jsonb_agg(p.oid::regprocedure::text ORDER BY p.oid::regprocedure::text) FROM pg_proc AS p
    WHERE p.proname IN ('jobtide_current_tenant_id', 'jobtide_is_super_admin') AND p.prosecdef
      AND p.proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp']
  ),
  'users_hidden', row_security_active(to_regclass('users')::oid)
)
