-- Says that this session rests: takes the locks that an INSERT tries (see 70_wake.sql of the schema), as often as it is
-- called, until rise.sql. No INSERT waits for them: another one holds one for microseconds, so a second or third try gets it.
--
-- Parameters: hashed text[] (types; none: all), watches bool (every insert notifies it, not one in its turn)
-- Index:      none, no table is touched but pg_trigger and pg_proc
-- Returns:    can_wake: an INSERT into job_queue notifies here (not if its trigger is of a release with other locks);
--             rests: all locks are held
SELECT
    EXISTS (
        SELECT
        FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
        WHERE t.tgrelid = to_regclass('job_queue') AND t.tgname = 'jobtide_wake' AND t.tgenabled IN ('O', 'A')
            AND strpos(p.prosrc, '(1785684598, TG_RELID::int)') > 0
    )
    AND (
        current_setting('max_prepared_transactions') = '0'
        OR coalesce(current_setting('jobtide.wake', true), '') = 'on'
    )
    AND has_function_privilege('pg_notify(text, text)', 'EXECUTE') AS can_wake,
    (
        SELECT bool_and(
            pg_try_advisory_lock_shared(wanted.class, wanted.object)
            OR pg_try_advisory_lock_shared(wanted.class, wanted.object)
            OR pg_try_advisory_lock_shared(wanted.class, wanted.object)
        )
        FROM (
            SELECT kind.class, hashtext(one.type COLLATE "C") # to_regclass('job_queue')::oid::int AS object
            FROM unnest(%(hashed)s::text[]) AS one (type), (VALUES (1785684596), (1785684597)) AS kind (class)
            WHERE %(watches)s::bool OR kind.class = 1785684596
            UNION ALL
            SELECT 1785684597, to_regclass('job_queue')::oid::int WHERE cardinality(%(hashed)s::text[]) = 0
            UNION ALL
            SELECT 1785684598, to_regclass('job_queue')::oid::int
        ) AS wanted
    ) AS rests
