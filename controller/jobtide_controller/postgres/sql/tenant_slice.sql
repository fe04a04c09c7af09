-- The slow reading: what waits for the next few thousand tenants of each type that has too many tenants for one reading.
--
-- The walk takes `chunks` times `chunk_rows` index entries, from the tenant behind `after` on. A tenant that fills a whole
-- chunk is counted no further (`capped`), and the walk goes on behind it: a million rows of one tenant cost three chunks.
-- The last tenant is left to the next slice if it may have more rows.
--
-- Listed by themselves are the tenants with the most rows, those with at least `list_from` rows, and the `listed` ones, if
-- a limit of running jobs may concern them. All others are one sum, with tenant_id NULL.
--
-- Parameters: types text[], afters uuid[] (NULL: from the first tenant on), list_froms int[] (0: no pool of the type limits its tenants), listed text[]
--             (tenants that hold a claim), chunks int (of each type), chunk_rows int, top int (tenants of each type)
-- Index:      idx_job_queue_due, index-only
-- Bounds:     2 * types * chunks * chunk_rows index entries
WITH RECURSIVE clock AS MATERIALIZED (
    SELECT statement_timestamp() AS at
),
slice AS MATERIALIZED (
    SELECT *
    FROM unnest(%(types)s::text[], %(afters)s::uuid[], %(list_froms)s::int[]) AS slice (type, after, list_from)
),
-- Each chunk by the position before it. Behind a whole tenant is behind any row of it.
chunk AS (
    SELECT
        slice.type, 1 AS number,
        coalesce(slice.after, '00000000-0000-0000-0000-000000000000') AS tenant_id,
        CASE WHEN slice.after IS NULL THEN '-infinity' ELSE 'infinity' END::timestamptz AS due_at,
        CASE WHEN slice.after IS NULL THEN '00000000-0000-0000-0000-000000000000' ELSE 'ffffffff-ffff-ffff-ffff-ffffffffffff' END::uuid AS id,
        FALSE AS is_cut
    FROM slice
    UNION ALL
    SELECT
        chunk.type, chunk.number + 1, last_row.tenant_id,
        CASE WHEN fills.chunk THEN 'infinity' ELSE last_row.due_at END,
        CASE WHEN fills.chunk THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff' ELSE last_row.id END,
        fills.chunk
    FROM chunk
    CROSS JOIN LATERAL (
        SELECT q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at, q.id
        FROM job_queue AS q
        WHERE
            q.status = 'pending' AND q.type = chunk.type
            AND (q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id)
            > (chunk.tenant_id, chunk.due_at, chunk.id)
        ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id
        LIMIT 1 OFFSET %(chunk_rows)s::int - 1
    ) AS last_row
    CROSS JOIN LATERAL (SELECT last_row.tenant_id = chunk.tenant_id AS chunk) AS fills
    WHERE chunk.number <= %(chunks)s::int
),
-- Where the next slice begins, and the last tenant that may be incomplete. Without a row the type's end was reached.
slice_end AS MATERIALIZED (
    SELECT chunk.type, chunk.tenant_id, chunk.is_cut
    FROM chunk
    WHERE chunk.number = %(chunks)s::int + 1
),
tenant AS MATERIALIZED (
    SELECT
        chunk_row.type, chunk_row.tenant_id,
        count(*) FILTER (WHERE chunk_row.is_due) AS due,
        count(*) FILTER (WHERE NOT chunk_row.is_due) AS later,
        min(chunk_row.due_epoch) AS oldest_at,
        avg(chunk_row.due_epoch) AS mean_at,
        min(chunk_row.later_at) AS next_due_at
    FROM (
        SELECT
            chunk.type, entry.tenant_id, entry.due_at <= clock.at AS is_due,
            CASE WHEN entry.due_at > clock.at THEN entry.due_at END AS later_at,
            CASE WHEN entry.due_at <= clock.at AND entry.since > '-infinity' THEN date_part('epoch', entry.since) END AS due_epoch
        FROM clock
        CROSS JOIN chunk
        CROSS JOIN LATERAL (
            SELECT
                q.tenant_id,
                coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at,
                least(greatest(q.next_retry_at, q.created_at), clock.at) AS since
            FROM job_queue AS q
            WHERE
                q.status = 'pending' AND q.type = chunk.type
                AND (q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id)
                > (chunk.tenant_id, chunk.due_at, chunk.id)
            ORDER BY q.type, q.tenant_id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz), q.id
            LIMIT %(chunk_rows)s::int
        ) AS entry
        WHERE chunk.number <= %(chunks)s::int
    ) AS chunk_row
    LEFT JOIN slice_end ON chunk_row.type = slice_end.type
    WHERE slice_end.tenant_id IS NULL OR slice_end.is_cut OR chunk_row.tenant_id < slice_end.tenant_id
    GROUP BY chunk_row.type, chunk_row.tenant_id
),
listed AS (
    SELECT slice.type, one.tenant_id
    FROM slice
    CROSS JOIN LATERAL (
        SELECT tenant.tenant_id
        FROM tenant
        WHERE tenant.type = slice.type
        ORDER BY tenant.due + tenant.later DESC
        LIMIT %(top)s::int
    ) AS one
    UNION
    SELECT slice.type, tenant.tenant_id
    FROM slice
    INNER JOIN tenant ON slice.type = tenant.type
    WHERE
        slice.list_from > 0
        AND (tenant.due + tenant.later >= slice.list_from OR tenant.tenant_id IN (SELECT unnest(%(listed)s::uuid[])))
),
counted AS (
    SELECT
        tenant.type, listed.tenant_id,
        count(*) AS tenants,
        sum(tenant.due)::bigint AS due,
        sum(tenant.later)::bigint AS later,
        min(tenant.oldest_at) AS oldest_at,
        sum(tenant.mean_at * tenant.due) / nullif(sum(tenant.due) FILTER (WHERE tenant.mean_at IS NOT NULL), 0) AS mean_at,
        date_part('epoch', min(tenant.next_due_at)) AS next_due_at,
        bool_or(cut.type IS NOT NULL) AS capped
    FROM tenant
    LEFT JOIN listed ON tenant.type = listed.type AND tenant.tenant_id = listed.tenant_id
    LEFT JOIN (SELECT DISTINCT chunk.type, chunk.tenant_id FROM chunk WHERE chunk.is_cut) AS cut
        ON tenant.type = cut.type AND tenant.tenant_id = cut.tenant_id
    GROUP BY tenant.type, listed.tenant_id
)
SELECT
    date_part('epoch', clock.at) AS taken_at,
    slice.type,
    last_tenant.tenant_id::text AS until,
    counted.tenant_id::text AS tenant_id,
    counted.tenants, counted.due, counted.later, counted.oldest_at, counted.mean_at, counted.next_due_at, counted.capped
FROM clock
CROSS JOIN slice
LEFT JOIN slice_end ON slice.type = slice_end.type
LEFT JOIN LATERAL (
    -- The last tenant that was counted; NULL at the type's end.
    SELECT tenant.tenant_id
    FROM tenant
    WHERE tenant.type = slice.type AND slice_end.type IS NOT NULL
    ORDER BY tenant.tenant_id DESC
    LIMIT 1
) AS last_tenant ON TRUE
LEFT JOIN counted ON slice.type = counted.type
