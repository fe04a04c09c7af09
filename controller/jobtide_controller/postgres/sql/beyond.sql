-- About how many rows are due of the keys of which readings.sql counts only the first: by a sample of the table's pages.
--
-- A sample costs the same for a thousand rows and for a hundred million. Of a key with fewer than `least_rows` rows in
-- the sample there is no result: a hundred rows are right within about a tenth, and ten are not.
--
-- Parameters: types text[], tenant_ids uuid[] (same length: the keys), pages int (to read), least_rows int
-- Index:      none: a sample scan
-- Bounds:     about `pages` pages of the table, whatever its size; at most as many rows as keys
WITH clock AS MATERIALIZED (
    SELECT statement_timestamp() AS at
),
share AS MATERIALIZED (
    SELECT least(1, %(pages)s::float8 * current_setting('block_size')::int / greatest(1, pg_relation_size('job_queue'))) AS of_table
),
sampled AS (
    SELECT q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at
    FROM job_queue AS q TABLESAMPLE SYSTEM (
        100 * (SELECT share.of_table FROM share)
    )
    WHERE q.status = 'pending'
)
SELECT
    sampled.type,
    sampled.tenant_id::text AS tenant_id,
    round(count(*) / (SELECT share.of_table FROM share))::bigint AS due
FROM sampled
INNER JOIN unnest(%(types)s::text[], %(tenant_ids)s::uuid[]) AS of_key (type, tenant_id) USING (type, tenant_id)
WHERE sampled.due_at <= (SELECT clock.at FROM clock)
GROUP BY sampled.type, sampled.tenant_id
HAVING count(*) >= %(least_rows)s::int
