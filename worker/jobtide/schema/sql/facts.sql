-- What: all facts about the table that the checks need, as one JSON value in one row.
-- Reads: the catalogs alone, never a row of job_queue, and no object by a name that may be missing.
WITH job_queue AS (
  SELECT c.oid, c.relkind, c.relnamespace::regnamespace::text AS schema_name
  FROM pg_class AS c WHERE c.oid = to_regclass('job_queue')
),
-- Other relations of that name, that this role or another search_path may mean.
elsewhere AS (
  SELECT jsonb_agg(jsonb_build_object(
    'schema', c.relnamespace::regnamespace::text,
    'usable', has_schema_privilege(c.relnamespace, 'USAGE'),
    'in_path', n.nspname = ANY(current_schemas(false))
  ) ORDER BY n.nspname) AS found
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.relname = 'job_queue' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
    AND c.oid IS DISTINCT FROM to_regclass('job_queue')
),
-- The columns of each table, and this role's rights on them.
columns AS (
  SELECT a.attrelid, jsonb_object_agg(a.attname, jsonb_build_object(
    'type', format_type(a.atttypid, a.atttypmod),
    'not_null', a.attnotnull,
    'has_default', a.atthasdef OR a.attidentity <> '',
    'generated', a.attgenerated <> '' OR a.attidentity = 'a',
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
-- The statements name this type: they need the column's own type under that name.
named_status_type AS (
  SELECT to_regtype('job_status')::oid AS oid
),
-- The group roles of Jobtide: `member` alone, without `inherits`, gives no right.
groups AS (
  SELECT jsonb_object_agg(part, jsonb_build_object(
    'member', coalesce(pg_has_role(to_regrole('jobtide_' || part)::oid, 'MEMBER'), false),
    'inherits', coalesce(pg_has_role(to_regrole('jobtide_' || part)::oid, 'USAGE'), false)
  )) AS by_part
  FROM unnest(ARRAY['worker', 'controller']) AS part
),
-- Our index names that another table has taken, where the table is or would be created.
taken_names AS (
  SELECT jsonb_object_agg(c.relname, coalesce(
    (SELECT i.indrelid::regclass::text FROM pg_index AS i WHERE i.indexrelid = c.oid), c.oid::regclass::text
  )) AS by_name
  FROM pg_class AS c
  WHERE c.relname LIKE 'idx\_job\_queue\_%'
    AND c.relnamespace = coalesce(
      (SELECT q.relnamespace FROM pg_class AS q WHERE q.oid = to_regclass('job_queue')),
      (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = current_schema())
    )
    AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indexrelid = c.oid AND i.indrelid = to_regclass('job_queue'))
),
-- Functions of the statements that were taken away from PUBLIC.
locked_functions AS (
  SELECT jsonb_agg(p.oid::regprocedure::text ORDER BY p.oid) AS found
  FROM pg_proc AS p
  WHERE p.pronamespace = 'pg_catalog'::regnamespace
    AND p.proname IN (
      'now', 'clock_timestamp', 'statement_timestamp', 'starts_with', 'split_part', 'jsonb_build_object', 'unnest',
      'json_to_recordset', 'json_array_elements_text', 'hashtextextended', 'pg_try_advisory_xact_lock',
      'pg_advisory_xact_lock', 'gen_random_uuid', 'date_part', 'enum_range'
    )
    AND NOT has_function_privilege(p.oid, 'EXECUTE')
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
    'unique', i.indisunique AND i.indpred IS NULL AND i.indimmediate,
    'keys', (SELECT jsonb_agg(pg_get_indexdef(i.indexrelid, k, true) ORDER BY k)
             FROM generate_series(1, i.indnkeyatts) AS k),
    'predicate', pg_get_expr(i.indpred, i.indrelid),
    'definition', pg_get_indexdef(i.indexrelid)
  )) AS by_name
  FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
  WHERE i.indrelid = to_regclass('job_queue')
)
SELECT jsonb_build_object(
  'server_version', current_setting('server_version_num')::int,
  'role', current_user,
  'role_name', quote_ident(current_user),  -- as SQL has it
  'role_inherits', (SELECT r.rolinherit FROM pg_roles AS r WHERE r.rolname = current_user),
  'groups', (SELECT by_part FROM groups),
  'database', current_database(),
  'database_name', quote_ident(current_database()),  -- as SQL has it
  'encoding', current_setting('server_encoding'),
  'search_path', current_setting('search_path'),
  'current_schema', quote_ident(current_schema()),
  'in_recovery', pg_is_in_recovery(),
  -- Functions and operators are looked up in these before pg_catalog; in the temporary schema never.
  'before_catalog', (
    SELECT coalesce(jsonb_agg(s.name ORDER BY s.place), '[]')
    FROM unnest(current_schemas(true)) WITH ORDINALITY AS s (name, place)
    WHERE s.place < array_position(current_schemas(true), 'pg_catalog') AND NOT starts_with(s.name, 'pg_temp_')
  ),
  'locked_functions', coalesce((SELECT found FROM locked_functions), '[]'),
  'elsewhere', coalesce((SELECT found FROM elsewhere), '[]'),
  'taken_names', coalesce((SELECT by_name FROM taken_names), '{}'),
  'table', (SELECT jsonb_build_object(
      'schema', q.schema_name,
      'schema_name', (SELECT n.nspname FROM pg_namespace AS n, pg_class AS c WHERE c.oid = q.oid AND n.oid = c.relnamespace),
      'kind', q.relkind,
      'view_of', (SELECT coalesce(jsonb_agg(DISTINCT d.refobjid::regclass::text), '[]')
        FROM pg_rewrite AS r JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        WHERE r.ev_class = q.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> q.oid),
      'hooks', (SELECT coalesce(jsonb_agg(hook.name ORDER BY hook.name), '[]') FROM (
          SELECT 'trigger ' || quote_ident(t.tgname) AS name
          FROM pg_trigger AS t
          WHERE t.tgrelid = q.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgname <> 'jobtide_wake'
        ) AS hook),
      -- Whether an INSERT wakes idle workers: on, off, or prepared (a transaction that notified can't be prepared).
      'wake', CASE
        WHEN NOT EXISTS (SELECT FROM pg_trigger AS t
          WHERE t.tgrelid = q.oid AND t.tgname = 'jobtide_wake' AND t.tgenabled IN ('O', 'A')) THEN 'off'
        WHEN current_setting('max_prepared_transactions') <> '0'
          AND coalesce(current_setting('jobtide.wake', true), '') <> 'on' THEN 'prepared'
        ELSE 'on' END,
      'rules', (
        SELECT coalesce(jsonb_object_agg(
          quote_ident(r.rulename), CASE r.ev_type WHEN '2' THEN 'UPDATE' ELSE 'INSERT' END
        ), '{}')
        FROM pg_rewrite AS r WHERE r.ev_class = q.oid AND r.ev_type IN ('2', '3') AND r.ev_enabled <> 'D'),
      -- What tenant_id refers to: a trial needs a tenant.
      'tenants_key', (SELECT jsonb_build_object('table', f.confrelid::regclass::text, 'column', a.attname)
        FROM pg_constraint AS f
        JOIN pg_attribute AS a ON a.attrelid = f.confrelid AND a.attnum = f.confkey[1]
        JOIN pg_attribute AS own ON own.attrelid = f.conrelid AND own.attnum = f.conkey[1]
        WHERE f.conrelid = q.oid AND f.contype = 'f' AND cardinality(f.conkey) = 1 AND own.attname = 'tenant_id'
        LIMIT 1),
      'columns', (SELECT by_name FROM columns WHERE attrelid = q.oid),
      'indexes', coalesce((SELECT by_name FROM indexes), '{}'),
      'rls_active', row_security_active(q.oid),
      'can_see', (SELECT can_see FROM visibility),
      'can_change', (SELECT can_change FROM visibility),
      'forgers', (SELECT names FROM forgers)
    ) FROM job_queue AS q),
  'status_type', (SELECT format_type(oid, NULL) FROM status_type),
  -- NULL before there is a table
  'status_type_of_table', (
    SELECT jsonb_build_object(
      'schema', t.typnamespace::regnamespace::text,
      'name', quote_ident(t.typname),
      'usable', has_schema_privilege(t.typnamespace, 'USAGE'),
      'found', t.oid IS NOT DISTINCT FROM (SELECT n.oid FROM named_status_type AS n)
    )
    FROM pg_type AS t, status_type AS s, job_queue WHERE t.oid = s.oid
  ),
  'named_status_type', (
    SELECT t.typnamespace::regnamespace::text || '.' || quote_ident(t.typname)
    FROM pg_type AS t, named_status_type AS n WHERE t.oid = n.oid
  ),
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
