-- What: two tables with the limits of tenants, which the controller writes and workers read: jobtide_pool_limits has a row
--       for each pool, jobtide_tenant_limits one for each tenant with a limit of its own.
-- Why:  a limit that changes in the table holds at the next claim, and no worker is replaced. Pool '' is every pool: its rows
--       are those of the view job_tenant_limits, if you define one (jobtide schema print --limits-view has an example).
--       Tenants' users have no right here, also if someone grants one: no policy lets them in.
-- Lock: none on job_queue; an existing table is left as it is.
DO $limits$
DECLARE
  home constant text := (
    SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass('job_queue')
  );
  name text;
BEGIN
  IF to_regclass(format('%I.jobtide_tenant_limits', home)) IS NOT NULL
    AND to_regclass(format('%I.jobtide_pool_limits', home)) IS NOT NULL THEN
    RETURN;
  END IF;
  EXECUTE format(
    'CREATE TABLE IF NOT EXISTS %I.jobtide_pool_limits ('
    'pool text PRIMARY KEY, '
    'max_concurrent integer CHECK (max_concurrent >= 0), '   -- of each tenant without one; NULL: no limit
    'types text[] NOT NULL DEFAULT ''{}'')',                 -- that the pool's rows concern; '' is every type
    home
  );
  EXECUTE format(
    'CREATE TABLE IF NOT EXISTS %I.jobtide_tenant_limits ('
    'pool text NOT NULL, '
    'tenant_id uuid NOT NULL, '
    'type text NOT NULL DEFAULT '''', '
    'max_concurrent integer CHECK (max_concurrent >= 0), '
    'weight integer CHECK (weight BETWEEN 1 AND 100), '
    'until timestamptz NOT NULL DEFAULT ''infinity'', '
    'PRIMARY KEY (pool, tenant_id, type))',
    home
  );
  FOREACH name IN ARRAY ARRAY['jobtide_pool_limits', 'jobtide_tenant_limits'] LOOP
    EXECUTE format('REVOKE ALL ON %I.%I FROM PUBLIC', home, name);
    IF to_regrole('anon') IS NOT NULL THEN EXECUTE format('REVOKE ALL ON %I.%I FROM anon', home, name); END IF;
    IF to_regrole('authenticated') IS NOT NULL THEN
      EXECUTE format('REVOKE ALL ON %I.%I FROM authenticated', home, name);
    END IF;
    IF to_regrole('service_role') IS NOT NULL THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I.%I TO service_role', home, name);
    END IF;
    EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', home, name);
    EXECUTE format(
      'CREATE POLICY jobtide_limits_read_policy ON %I.%I FOR SELECT USING (current_user NOT IN (''anon'', ''authenticated''))',
      home, name
    );
  END LOOP;
END
$limits$;
