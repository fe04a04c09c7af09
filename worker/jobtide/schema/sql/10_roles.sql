-- What: the roles that Supabase has and the policies name: anon, authenticated, service_role.
-- Why:  one policy text serves Supabase and plain PostgreSQL. A role that is there is left as it is.
-- Lock: none on tables.
DO $roles$
BEGIN
  IF to_regclass('job_queue') IS NOT NULL THEN RETURN; END IF;

  -- Roles belong to the whole server: another database's apply may create them at this moment.
  IF to_regrole('anon') IS NULL THEN
    BEGIN CREATE ROLE anon NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
  END IF;

  IF to_regrole('authenticated') IS NULL THEN
    BEGIN CREATE ROLE authenticated NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
  END IF;

  IF to_regrole('service_role') IS NULL THEN
    BEGIN
      CREATE ROLE service_role NOLOGIN BYPASSRLS;
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN NULL;
      -- Not everybody may hand out BYPASSRLS; on our tables service_role has policies of its own as well.
      WHEN insufficient_privilege THEN CREATE ROLE service_role NOLOGIN;
    END;
  END IF;
END
$roles$;
