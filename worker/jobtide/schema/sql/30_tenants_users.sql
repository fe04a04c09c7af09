-- What: minimal tables tenants and users, and the two functions that tell the policies the user's tenant and role.
-- Why:  job_queue.tenant_id references tenants; users holds the tenant of each user.
--       An existing table is not changed, nor are its policies.
-- Lock: none on existing tables.
DO $people$
DECLARE
  tenants_missing boolean := to_regclass('tenants') IS NULL;
  users_missing boolean := to_regclass('users') IS NULL;
BEGIN
  IF to_regclass('job_queue') IS NOT NULL THEN RETURN; END IF;

  IF tenants_missing THEN
    CREATE TABLE tenants (
      id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      name text NOT NULL DEFAULT '',
      created_at timestamptz DEFAULT now()
    );
  END IF;

  IF users_missing THEN
    CREATE TABLE users (
      id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      tenant_id uuid REFERENCES tenants (id) ON DELETE CASCADE,
      is_super_admin boolean NOT NULL DEFAULT false
    );
    CREATE INDEX idx_users_tenant_id ON users (tenant_id);
  END IF;

  -- A policy on users that reads users would recurse. These functions run as their owner, which RLS does not limit.
  -- Their bodies are bound to the tables at creation; those of auth.uid() and auth.jwt() may be text. pg_temp is named
  -- last, since it comes first if it is not named: a type of the caller could then run code as the owner.
  IF to_regprocedure(format('%I.jobtide_current_tenant_id()', current_schema())) IS NULL THEN
    CREATE FUNCTION jobtide_current_tenant_id() RETURNS uuid
      LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
      RETURN (SELECT u.tenant_id FROM users AS u WHERE u.id = auth.uid());
    REVOKE ALL ON FUNCTION jobtide_current_tenant_id() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION jobtide_current_tenant_id() TO authenticated;
  END IF;

  IF to_regprocedure(format('%I.jobtide_is_super_admin()', current_schema())) IS NULL THEN
    IF EXISTS (
      SELECT FROM pg_attribute
      WHERE attrelid = to_regclass('users') AND attname = 'is_super_admin' AND NOT attisdropped
    ) THEN
      CREATE FUNCTION jobtide_is_super_admin() RETURNS boolean
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        RETURN coalesce((SELECT u.is_super_admin FROM users AS u WHERE u.id = auth.uid()), false);
    ELSE
      -- The auth server signs app_metadata; unlike user_metadata, a user can't edit it.
      CREATE FUNCTION jobtide_is_super_admin() RETURNS boolean
        LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
        RETURN coalesce(auth.jwt() -> 'app_metadata' ->> 'is_super_admin', 'false') = 'true';
    END IF;
    REVOKE ALL ON FUNCTION jobtide_is_super_admin() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION jobtide_is_super_admin() TO authenticated;
  END IF;

  IF tenants_missing THEN
    ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
    REVOKE ALL ON tenants FROM PUBLIC, anon, authenticated;
    GRANT SELECT ON tenants TO authenticated;
    GRANT SELECT, INSERT, UPDATE, DELETE ON tenants TO service_role;
    CREATE POLICY tenants_member_policy ON tenants FOR SELECT TO authenticated
      USING (id = (SELECT jobtide_current_tenant_id()) OR (SELECT jobtide_is_super_admin()));
    CREATE POLICY tenants_service_role_policy ON tenants FOR ALL TO service_role
      USING (true) WITH CHECK (true);
  END IF;

  IF users_missing THEN
    ALTER TABLE users ENABLE ROW LEVEL SECURITY;
    REVOKE ALL ON users FROM PUBLIC, anon, authenticated;
    GRANT SELECT ON users TO authenticated;
    GRANT SELECT, INSERT, UPDATE, DELETE ON users TO service_role;
    CREATE POLICY users_same_tenant_policy ON users FOR SELECT TO authenticated
      USING (
        id = (SELECT auth.uid())
        OR tenant_id = (SELECT jobtide_current_tenant_id())
        OR (SELECT jobtide_is_super_admin())
      );
    CREATE POLICY users_service_role_policy ON users FOR ALL TO service_role
      USING (true) WITH CHECK (true);
  END IF;
END
$people$;
