-- All waiting rows of each type whose tenants are read in slices: how many there are, and how old.
--
-- Ages as in readings.sql: from the row's creation at the earliest, and none for a row without a time.
--
-- Parameters: types text[], row_cap int (rows of each type; of one that has as many, more may wait)
-- Index:      idx_job_queue_due, index-only
-- Bounds:     types * row_cap index entries
WITH clock AS MATERIALIZED (
    SELECT statement_timestamp() AS at
)
SELECT
    requested.type,
    0 AS tenants,
    count(*) FILTER (WHERE one.due_at <= clock.at) AS due,
    count(*) FILTER (WHERE one.due_at > clock.at) AS later,
    date_part('epoch', min(one.since) FILTER (WHERE one.due_at <= clock.at AND one.since > '-infinity')) AS oldest_at,
    avg(date_part('epoch', one.since)) FILTER (WHERE one.due_at <= clock.at AND one.since > '-infinity') AS mean_at,
    date_part('epoch', min(one.due_at) FILTER (WHERE one.due_at > clock.at)) AS next_due_at,
    count(one.due_at) >= %(row_cap)s::int AS capped
FROM clock
CROSS JOIN unnest(%(types)s::text[]) AS requested (type)
LEFT JOIN LATERAL (
    SELECT
        coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at,
        least(greatest(q.next_retry_at, q.created_at), clock.at) AS since
    FROM job_queue AS q
    WHERE q.status = 'pending' AND q.type = requested.type
    ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id
    LIMIT %(row_cap)s::int
) AS one ON TRUE
GROUP BY requested.type
