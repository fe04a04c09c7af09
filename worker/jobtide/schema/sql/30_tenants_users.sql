-- What: minimal tenants and users, and the two functions by which the policies learn who is asking.
-- Why:  job_queue.tenant_id references tenants; users say which tenant a person belongs to.
--       A table that is there is left as it is, its policies included.
-- Lock: none on tables that are there.
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

  -- A policy on users that reads users recurses. These run as their owner, whom RLS does not stop.
  -- Their bodies are bound to the tables when they are created, so no search_path can mislead them.
  IF to_regprocedure(format('%I.jobtide_current_tenant_id()', current_schema())) IS NULL THEN
    CREATE FUNCTION jobtide_current_tenant_id() RETURNS uuid
      LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
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
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
        RETURN coalesce((SELECT u.is_super_admin FROM users AS u WHERE u.id = auth.uid()), false);
    ELSE
      -- app_metadata is signed by the auth server and, unlike user_metadata, not the user's to edit.
      CREATE FUNCTION jobtide_is_super_admin() RETURNS boolean
        LANGUAGE sql STABLE SET search_path = ''
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
