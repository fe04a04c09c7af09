-- Second half of a claim under tenant caps: counts what each locked tenant runs, and claims up to its cap.
--
-- Runs in the transaction that holds the tenants' locks (lock_tenants.sql), after that statement, so that its snapshot
-- sees every claim that was committed before it got the locks: the cap is exact. Claims of Jobtide alone count.
--
-- A key gives `weight` times as many rows as one of weight 1, less what it gave in the claim before (visit.py).
--
-- Parameters: types text[] (of the whole pool: what counts against the cap), key_types text[], key_tenants uuid[],
--             key_positions int[], key_sinces timestamptz[], key_since_ids uuid[], key_caps int[], key_type_caps int[],
--             key_weights int[] (the keys to take from), wanted int, rows_per_key int,
--             visit_type text, visit_tenant uuid, visit_rows int (what the first key gave already),
--             token text, lease_seconds float8, most_bytes int (see claim.sql),
--             excluded uuid[] (rows whose claim the server refuses, see careful.py)
-- Index:      idx_job_queue_due, one probe a claimed row; idx_job_queue_running, at most `cap` entries a tenant and as many
--             as the type's cap a key; job_queue_pkey for the update
-- Locks:      at most rows_per_key times its weight rows a key; those beyond `wanted` and the caps are released at commit
WITH key AS MATERIALIZED (
    SELECT
        key.*,
        CASE
            WHEN key.type = (SELECT %(visit_type)s::text) AND key.tenant_id = (SELECT %(visit_tenant)s::uuid)
                THEN (SELECT %(visit_rows)s::int)
            ELSE 0
        END AS given
    FROM
        unnest(
            (SELECT %(key_types)s::text[]), (SELECT %(key_tenants)s::uuid[]), (SELECT %(key_positions)s::int[]),
            (SELECT %(key_sinces)s::timestamptz[]), (SELECT %(key_since_ids)s::uuid[]),
            (SELECT %(key_caps)s::int[]), (SELECT %(key_type_caps)s::int[]), (SELECT %(key_weights)s::int[])
        ) AS key (type, tenant_id, position, since, since_id, cap, type_cap, weight)
),
room AS MATERIALIZED (
    SELECT tenant.tenant_id, tenant.cap - running.jobs AS places
    FROM (
        SELECT DISTINCT key.tenant_id, key.cap
        FROM key
    ) AS tenant
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs
        FROM (
            SELECT
            FROM unnest((SELECT %(types)s::text[])) AS counted (type)
            CROSS JOIN LATERAL (
                SELECT
                FROM job_queue AS q
                WHERE
                    q.status = 'processing' AND q.worker_id ^@ 'jobtide:' -- not what other consumers hold
                    AND q.type = counted.type AND q.tenant_id = tenant.tenant_id
                ORDER BY q.type, q.tenant_id
            ) AS one
            LIMIT CASE WHEN tenant.cap = 2147483647 THEN 0 ELSE tenant.cap END
        ) AS upto_cap
    ) AS running
),
due AS MATERIALIZED (
    SELECT due_row.id, due_row.due_at, key.position, key.tenant_id, key.weight, key.given
    FROM key
    INNER JOIN room ON key.tenant_id = room.tenant_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs
        FROM (
            SELECT
            FROM job_queue AS q
            WHERE
                q.status = 'processing' AND q.worker_id ^@ 'jobtide:'
                AND q.type = key.type AND q.tenant_id = key.tenant_id
            ORDER BY q.type, q.tenant_id
            LIMIT CASE WHEN key.type_cap = 2147483647 THEN 0 ELSE key.type_cap END
        ) AS upto_type_cap
    ) AS running
    CROSS JOIN LATERAL (
        SELECT
            q.id,
            coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at
        FROM job_queue AS q
        WHERE
            q.status = 'pending'
            AND q.type = key.type
            AND q.tenant_id = key.tenant_id
            AND (coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id)
                >= (coalesce(key.since, '-infinity'), coalesce(key.since_id, '00000000-0000-0000-0000-000000000000'::uuid))
            AND coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) <= now()
            AND q.id <> ALL((SELECT %(excluded)s::uuid[])::uuid[])
        ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id
        LIMIT greatest(0, least((SELECT %(rows_per_key)s::int) * key.weight - key.given, room.places, key.type_cap - running.jobs))
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS due_row
),
candidate AS MATERIALIZED (
    SELECT due.id, due.due_at, due.position, (due.given + due.place - 1) / due.weight AS turn
    FROM (
        SELECT due.*, row_number() OVER (PARTITION BY due.tenant_id ORDER BY due.due_at, due.id) AS place
        FROM due
    ) AS due
    INNER JOIN room ON due.tenant_id = room.tenant_id
    WHERE due.place <= room.places
    ORDER BY turn, due.position, due.tenant_id
    LIMIT (SELECT %(wanted)s::int)
),
claimed AS (
    UPDATE job_queue AS q
    SET
        status = 'processing',
        worker_id = %(token)s,
        attempts = least(greatest(q.attempts, 0), 2147483646) + 1,
        next_retry_at = now() + %(lease_seconds)s::float8 * interval '1 second'
    WHERE q.id = ANY(ARRAY(SELECT candidate.id FROM candidate))
    RETURNING q.id, q.tenant_id, q.type, q.payload, q.attempts, q.result
)
SELECT
    claimed.id, claimed.tenant_id, claimed.type, claimed.attempts, candidate.turn,
    size.payload_bytes,
    CASE WHEN size.payload_bytes BETWEEN 0 AND size.most_bytes THEN claimed.payload END AS payload,
    CASE
        WHEN claimed.result <> '{}'
            AND pg_column_size(claimed.result #> '{}') <= size.most_bytes
            AND NOT claimed.result @? 'strict $.** ? (@ > 1e1000 || @ < -1e1000)'
            THEN claimed.result
    END AS result,
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
