-- Claims up to `wanted` due jobs, round robin over the tenants, and starts their lease.
--
-- The lap is a list of ranges of (type, tenant_id), in the order of the visit: it begins just after the key that was
-- served last and ends with it, so that every key is visited once. Each key gives at most `rows_per_key`.
-- Everything is lazy: a claim of one job from a full queue touches one key and locks one row. A result shorter than
-- `wanted` means that the whole lap was walked.
--
-- Every column may hold what a tenant wrote, so no expression may fail or grow on it: attempts stay in their range, and
-- a payload's size is known before it is rendered. Small ones are not measured: a byte of jsonb becomes at most 16,384
-- characters, in a number such as 1e131071. Rendered for measuring is only what is sure to fit into the server's 1 GB:
-- without such numbers (payload_bytes is -1 with them) a byte becomes at most 6 characters, in U+0001.
--
-- Parameters are in sub-selects so that the planner can't see their values: one plan is right for all of them, and
-- PostgreSQL keeps it instead of planning each claim again (2.5 times the rate).
--
-- Parameters: types text[], firsts uuid[], lasts uuid[], sinces timestamptz[], since_ids uuid[]
--             (the lap: bounds inclusive; of a first tenant only rows from there on, see low_water.py), wanted int, rows_per_key int,
--             token text, lease_seconds float8,
--             most_bytes int (of a payload as JSON text, at most 16 MiB; a larger one is not returned),
--             excluded uuid[] (rows whose claim the server refuses, see careful.py)
-- Index:      idx_job_queue_due, one probe a key and one a claimed row; job_queue_pkey for the update
-- Locks:      at most `wanted` rows; rows that another transaction has locked are skipped
WITH lap AS (
    SELECT
        lap.*,
        coalesce(lap.since, '-infinity') AS first_due_at,
        coalesce(lap.since_id, '00000000-0000-0000-0000-000000000000'::uuid) AS first_id
    FROM
        unnest(
            (SELECT %(types)s::text[]), (SELECT %(firsts)s::uuid[]), (SELECT %(lasts)s::uuid[]),
            (SELECT %(sinces)s::timestamptz[]), (SELECT %(since_ids)s::uuid[])
        ) WITH ORDINALITY AS lap (type, first_tenant, last_tenant, since, since_id, position)
),
candidate AS MATERIALIZED (
    SELECT due_row.id, due_row.due_at, lap.position
    FROM lap
    CROSS JOIN LATERAL (
        -- A loose index scan: the first row of each tenant, which is also its first to fall due.
        WITH RECURSIVE walk AS (
            (
                SELECT
                    q.tenant_id,
                    coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at
                FROM job_queue AS q
                WHERE
                    q.status = 'pending'
                    AND q.type = lap.type
                    AND (q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id)
                        >= (lap.first_tenant, lap.first_due_at, lap.first_id)
                    AND q.tenant_id <= lap.last_tenant
                ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz)
                LIMIT 1
            )
            UNION ALL
            SELECT following.tenant_id, following.due_at
            FROM walk
            CROSS JOIN LATERAL (
                SELECT
                    q.tenant_id,
                    coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at
                FROM job_queue AS q
                WHERE
                    q.status = 'pending'
                    AND q.type = lap.type
                    AND q.tenant_id > walk.tenant_id
                    AND q.tenant_id <= lap.last_tenant
                ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz)
                LIMIT 1
            ) AS following
        )
        SELECT walk.tenant_id FROM walk WHERE walk.due_at <= now()
    ) AS tenant
    CROSS JOIN LATERAL (
        SELECT
            q.id,
            coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at
        FROM job_queue AS q
        WHERE
            q.status = 'pending'
            AND q.type = lap.type
            AND q.tenant_id = tenant.tenant_id
            AND (coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id) >= (
                CASE WHEN tenant.tenant_id = lap.first_tenant THEN lap.first_due_at ELSE '-infinity' END,
                CASE WHEN tenant.tenant_id = lap.first_tenant THEN lap.first_id ELSE '00000000-0000-0000-0000-000000000000'::uuid END
            )
            AND coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) <= now()
            AND q.id <> ALL((SELECT %(excluded)s::uuid[])::uuid[])
        ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id
        LIMIT (SELECT %(rows_per_key)s::int)
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS due_row
    LIMIT (SELECT %(wanted)s::int)
),
claimed AS (
    UPDATE job_queue AS q
    SET
        status = 'processing',
        worker_id = %(token)s,
        attempts = least(greatest(q.attempts, 0), 2147483646) + 1,
        next_retry_at = now() + %(lease_seconds)s::float8 * interval '1 second'
    -- An array, not a join: the planner then probes the primary key, however it estimates the lap.
    WHERE q.id = ANY(ARRAY(SELECT candidate.id FROM candidate))
    RETURNING q.id, q.tenant_id, q.type, q.payload, q.attempts, q.result
)
SELECT
    claimed.id, claimed.tenant_id, claimed.type, claimed.attempts,
    size.payload_bytes,
    CASE WHEN size.payload_bytes BETWEEN 0 AND size.most_bytes THEN claimed.payload END AS payload,
    CASE
        WHEN claimed.result <> '{}'
            AND pg_column_size(claimed.result #> '{}') <= size.most_bytes
            AND NOT claimed.result @? 'strict $.** ? (@ > 1e1000 || @ < -1e1000)'
            THEN claimed.result
    END AS result,
    -- -infinity (no created_at) has no age, nor has the zero time of some languages, which Python can't represent
    CASE WHEN candidate.due_at > '1900-01-01' THEN candidate.due_at END AS due_at,
    -- date_part, not extract, which reckons in numeric and is converted through text
    CASE WHEN candidate.due_at > '1900-01-01' THEN date_part('epoch', now() - candidate.due_at) ELSE 0 END AS waited_seconds
FROM claimed
INNER JOIN candidate ON claimed.id = candidate.id
CROSS JOIN LATERAL (
    SELECT
        most.bytes AS most_bytes,
        CASE
            WHEN claimed.payload IS NULL THEN 0
            WHEN pg_column_size(claimed.payload) <= most.bytes / 16384
                AND pg_column_compression(claimed.payload) IS NULL THEN 0
            WHEN pg_column_size(claimed.payload #> '{}') > 8 * most.bytes THEN pg_column_size(claimed.payload #> '{}')
            WHEN pg_column_size(claimed.payload #> '{}') > 16384
                AND claimed.payload @? 'strict $.** ? (@ > 1e1000 || @ < -1e1000)' THEN -1
            ELSE octet_length(claimed.payload::text)
        END AS payload_bytes
    FROM (SELECT %(most_bytes)s::int AS bytes) AS most
) AS size
ORDER BY candidate.position, claimed.tenant_id, candidate.due_at, claimed.id
