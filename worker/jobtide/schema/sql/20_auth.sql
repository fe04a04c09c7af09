-- What: auth.jwt() and auth.uid(), as Supabase has them, over the setting request.jwt.claims.
-- Why:  the policies need the user of the request. An existing function is not changed.
-- Lock: none on tables.
DO $auth$
BEGIN
  IF to_regclass('job_queue') IS NOT NULL THEN RETURN; END IF;

  IF to_regnamespace('auth') IS NULL THEN
    CREATE SCHEMA auth;
    GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
  END IF;

  IF to_regprocedure('auth.jwt()') IS NULL THEN
    CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE
      RETURN nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  END IF;

  IF to_regprocedure('auth.uid()') IS NULL THEN
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE
      RETURN nullif(auth.jwt() ->> 'sub', '')::uuid;
  END IF;
END
$auth$;
