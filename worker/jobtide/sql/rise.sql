-- Says that this session rests no longer. With `passes_on` it wakes up to two others that rest for one of the types:
-- jobs may be due that this worker has no place for.
--
-- The session of a claim holds no other advisory lock longer than a transaction.
--
-- Parameters: types text[], passes_on bool
-- Index:      none, no table is touched
SELECT
    pg_advisory_unlock_all(),
    (
        SELECT pg_notify('jobtide', string_agg(other.pid::text, ' '))
        FROM (
            SELECT l.pid
            FROM pg_locks AS l
            WHERE
                %(passes_on)s::bool
                AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.mode = 'ShareLock'
                AND l.classid IN (1785684596, 1785684597)
                AND l.objid IN (
                    SELECT (hashtext(one.type COLLATE "C") # to_regclass('job_queue')::oid::int)::oid
                    FROM unnest(%(types)s::text[]) AS one (type)
                )
                AND l.pid <> pg_backend_pid()
                AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
            GROUP BY l.pid
            HAVING bool_and(l.classid = 1785684596)
            ORDER BY random()
            LIMIT 2
        ) AS other
        HAVING count(*) > 0
    )
