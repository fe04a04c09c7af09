-- Deletes ended rows that are older than the retention of their type: one small batch of one status.
--
-- The index is in the order of creation, and a job ends after its creation: rows that were created before the youngest
-- limit of all types are a superset of those that may go. The types and their limits are one constant, not a table to
-- join, so that the planner has no other way than that index. A row counts from its end; one that another consumer ended
-- without completed_at, from its creation. Rows without created_at stay.
--
-- The target's conditions are repeated in the DELETE: a row that a client sets back to pending at this moment stays.
-- A locked row is not waited for: lock_timeout ends the statement, and the next batch is smaller (FOR UPDATE SKIP LOCKED
-- needs an UPDATE policy for ended rows, and the controller's role must not change them).
--
-- Parameters: status text, seconds jsonb (by type), youngest_seconds int (the least of them), after_at float8 (epoch, or
--             NULL), row_count int (rows to look at), most int (rows to delete)
-- Index:      idx_job_queue_status_created_at, job_queue_pkey for the rows to delete
-- Bounds:     row_count rows, and those that were created at the same moment as the last of them; most rows are deleted.
--             With most at 0 row_count index entries alone: a pass must get past rows that are too many for one statement
-- Locks:      the deleted rows
WITH clock AS MATERIALIZED (
    SELECT
        statement_timestamp() AS at,
        statement_timestamp() - %(youngest_seconds)s::float8 * interval '1 second' AS cutoff_at,
        coalesce(to_timestamp(%(after_at)s::float8), '-infinity') AS after_at
),
bound AS MATERIALIZED (
    SELECT (
        SELECT q.created_at
        FROM job_queue AS q
        WHERE
            q.status = %(status)s::job_status
            AND q.created_at > (SELECT clock.after_at FROM clock)
            AND q.created_at <= (SELECT clock.cutoff_at FROM clock)
        ORDER BY q.status, q.created_at
        OFFSET %(row_count)s - 1
        LIMIT 1
    ) AS until_at
),
part AS MATERIALIZED (
    SELECT clock.at, clock.after_at, coalesce(bound.until_at, clock.cutoff_at) AS until_at
    FROM clock
    CROSS JOIN bound
),
found AS MATERIALIZED (
    SELECT q.id
    FROM job_queue AS q
    WHERE
        q.status = %(status)s::job_status
        AND q.created_at > (SELECT part.after_at FROM part)
        AND q.created_at <= (SELECT part.until_at FROM part)
        AND greatest(q.completed_at, q.created_at)
        <= (SELECT part.at FROM part) - (%(seconds)s::jsonb ->> q.type)::float8 * interval '1 second'
    ORDER BY q.status, q.created_at
    LIMIT %(most)s
),
deleted AS (
    DELETE FROM job_queue AS q
    USING found
    WHERE
        q.id = found.id
        AND q.status = %(status)s::job_status
        AND greatest(q.completed_at, q.created_at)
        <= (SELECT part.at FROM part) - (%(seconds)s::jsonb ->> q.type)::float8 * interval '1 second'
    RETURNING q.type
),
too_young AS (
    SELECT q.type, min(q.created_at) AS oldest_at
    FROM job_queue AS q
    WHERE
        q.status = %(status)s::job_status
        AND q.created_at > (SELECT part.after_at FROM part)
        AND q.created_at <= (SELECT part.until_at FROM part)
        AND greatest(q.completed_at, q.created_at)
        > (SELECT part.at FROM part) - (%(seconds)s::jsonb ->> q.type)::float8 * interval '1 second'
        AND %(most)s > 0
    GROUP BY q.type
)
SELECT
    (SELECT date_part('epoch', bound.until_at) FROM bound) AS until_at,
    (SELECT count(*) FROM found) AS found,
    (SELECT jsonb_object_agg(one.type, one.jobs) FROM (SELECT type, count(*) AS jobs FROM deleted GROUP BY type) AS one) AS deleted,
    (SELECT jsonb_object_agg(too_young.type, date_part('epoch', too_young.oldest_at)) FROM too_young) AS oldest_left
