-- What: a safe search_path for the functions of the policies that run with their owner's rights.
-- Why:  with an empty search_path the session's own schema pg_temp still comes first for types, so that a type of the
--       caller, pg_temp.uuid, could run the caller's code as the owner. Earlier versions created them so.
-- Lock: none on tables.
DO $safe$
DECLARE
  unsafe regprocedure;
BEGIN
  FOR unsafe IN
    SELECT p.oid::regprocedure
    FROM pg_proc AS p
    WHERE p.proname IN ('jobtide_current_tenant_id', 'jobtide_is_super_admin')
      AND p.prosecdef
      AND p.proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp']
      AND pg_has_role(p.proowner, 'USAGE')
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', unsafe);
  END LOOP;
END
$safe$;
