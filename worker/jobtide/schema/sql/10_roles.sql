-- What: the roles that Supabase has and the policies name: anon, authenticated, service_role.
-- Why:  the same policies work on Supabase and on plain PostgreSQL. An existing role is not changed.
-- Lock: none on tables.
DO $roles$
BEGIN
  IF to_regclass('job_queue') IS NOT NULL THEN RETURN; END IF;

  -- Roles belong to the whole server: an apply on another database may create them at the same time.
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
      -- Not every role may grant BYPASSRLS; on these tables service_role has its own policies as well.
      WHEN insufficient_privilege THEN CREATE ROLE service_role NOLOGIN;
    END;
  END IF;
END
$roles$;
