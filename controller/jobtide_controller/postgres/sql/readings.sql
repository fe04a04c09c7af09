-- One reading of the whole table: what waits and runs per (type, tenant), for every pool of this database at once.
--
-- The waiting rows are counted by a loose scan: one index probe per type, one per tenant, then at most `depth_cap`
-- rows of each key, twice (due, later). The arrivals are counted over the time since the previous reading plus an
-- overlap, because a transaction that commits late leaves a created_at in the past: `arrivals_again` counts the
-- previous overlap again, and `arrivals_overlap` is what the next reading will compare that with.
--
-- How attempts end is followed on a few rows: those that were running or about to start at the previous reading
-- (`watched_ids`, with the number of the attempt that ends next), and those that arrived since. A row that is pending
-- again with that number has failed; one that was requeued without counting the attempt has one attempt less. They also
-- say how long jobs take where counting stopped: of so many that ran for so long in total, so many have ended.
--
-- Every column may hold what a tenant wrote. So only requested types are probed, attempts are kept in their range, a
-- holder's name is cut, and no tenant's rows hide those of another: running rows are counted to `running_cap` for each
-- key. An age begins at the row's creation at the earliest, not at a due time that a tenant set into the past. A finished
-- row that no claim of ours can have ended is no arrival: it would count as a job that took no time.
--
-- Of a type with more than `keys_cap` tenants the walk stops, and its last row says so (`is_cut`): tenant_slice.sql counts
-- what waits for them, and from then on the type is one of `many_types`, of which no waiting row is counted here.
--
-- Returns at least one row, for the clock; its type is NULL if nothing waits or runs.
--
-- Parameters: types text[] (each once), many_types text[], keys_cap int (tenants of each type), depth_cap int, running_cap int, arrivals_cap int (rows per status), overlap_seconds float8,
--             previous_at float8 (epoch of the previous reading, NULL for the first), watched_ids uuid[],
--             watched_attempts int[] (same length), watch_running int, watch_soon int (rows to follow next)
-- Index:      idx_job_queue_due, index-only except for rows to follow; idx_job_queue_running for running rows;
--             idx_job_queue_status_created_at for arrivals; job_queue_pkey, one probe per watched row
-- Bounds:     the lower of types in the table and 2 * types; keys * (2 + 2 * depth_cap) index entries, with at most
--             `keys_cap` keys of each type; running rows, at
--             most running_cap of each key; 4 * arrivals_cap rows; 2 * watch_soon + watch_running rows
WITH RECURSIVE clock AS MATERIALIZED (
    SELECT
        statement_timestamp() AS at,
        statement_timestamp() - %(overlap_seconds)s::float8 * interval '1 second' AS overlap_from,
        to_timestamp(%(previous_at)s::float8) AS previous_at,
        to_timestamp(%(previous_at)s::float8) - %(overlap_seconds)s::float8 * interval '1 second' AS again_from
),
-- Rows instead of an array: ten thousand types in an ANY() cost the planner more than the reading itself.
requested AS MATERIALIZED (
    SELECT unnest(%(types)s::text[]) AS type
),
-- Ten thousand requested types of which none waits, or two million waiting types of which none is requested: both must
-- be cheap. So the table's types are walked, and if they are more than the requested ones, those are probed instead.
-- ORDER BY (type, tenant_id), although type would suffice: with type alone the planner reads idx_job_queue_type with
-- every finished job.
walked_waiting AS (
    (
        SELECT q.type, 1 AS step
        FROM job_queue AS q
        WHERE q.status = 'pending'
        ORDER BY q.type, q.tenant_id
        LIMIT 1
    )
    UNION ALL
    SELECT following.type, walked_waiting.step + 1
    FROM walked_waiting
    CROSS JOIN LATERAL (
        SELECT q.type
        FROM job_queue AS q
        WHERE q.status = 'pending' AND q.type > walked_waiting.type
        ORDER BY q.type, q.tenant_id
        LIMIT 1
    ) AS following
    WHERE walked_waiting.step <= (SELECT count(*) FROM requested)
),
waiting_type AS (
    SELECT requested.type
    FROM requested
    WHERE
        (
            (SELECT count(*) FROM walked_waiting) > (SELECT count(*) FROM requested)
            OR requested.type IN (SELECT walked_waiting.type FROM walked_waiting)
        )
        AND requested.type NOT IN (SELECT unnest(%(many_types)s::text[]))
),
waiting_key AS (
    SELECT waiting_type.type, first_of.tenant_id, 1 AS step
    FROM waiting_type
    CROSS JOIN LATERAL (
        SELECT q.tenant_id
        FROM job_queue AS q
        WHERE q.status = 'pending' AND q.type = waiting_type.type
        ORDER BY q.type, q.tenant_id
        LIMIT 1
    ) AS first_of
    UNION ALL
    SELECT waiting_key.type, following.tenant_id, waiting_key.step + 1
    FROM waiting_key
    CROSS JOIN LATERAL (
        SELECT q.tenant_id
        FROM job_queue AS q
        WHERE q.status = 'pending' AND q.type = waiting_key.type AND q.tenant_id > waiting_key.tenant_id
        ORDER BY q.type, q.tenant_id
        LIMIT 1
    ) AS following
    WHERE waiting_key.step <= %(keys_cap)s::int
),
waiting AS (
    SELECT
        waiting_key.type, waiting_key.tenant_id,
        waiting_key.step > %(keys_cap)s::int AS is_cut,
        due_rows.due,
        coalesce(date_part('epoch', clock.at) - date_part('epoch', due_rows.oldest_due_at), 0) AS oldest_age_seconds,
        coalesce(date_part('epoch', clock.at) - due_rows.mean_due_at, 0) AS mean_age_seconds,
        later_rows.later,
        date_part('epoch', later_rows.next_due_at) AS next_due_at
    FROM waiting_key
    CROSS JOIN clock
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS due,
            -- -infinity (no created_at) is due, and has no age. date_part, because extract is numeric and three
            -- times as slow.
            min(one.since) FILTER (WHERE one.since > '-infinity') AS oldest_due_at,
            avg(date_part('epoch', one.since)) FILTER (WHERE one.since > '-infinity') AS mean_due_at
        FROM (
            SELECT least(coalesce(greatest(q.next_retry_at, q.created_at), '-infinity'), clock.at) AS since
            FROM job_queue AS q
            WHERE
                q.status = 'pending' AND q.type = waiting_key.type AND q.tenant_id = waiting_key.tenant_id
                AND coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) <= clock.at
            ORDER BY coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz)
            LIMIT %(depth_cap)s
        ) AS one
    ) AS due_rows
    CROSS JOIN LATERAL (
        SELECT count(*) AS later, min(one.due_at) AS next_due_at
        FROM (
            SELECT coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at
            FROM job_queue AS q
            WHERE
                q.status = 'pending' AND q.type = waiting_key.type AND q.tenant_id = waiting_key.tenant_id
                AND coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) > clock.at
            ORDER BY coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz)
            LIMIT %(depth_cap)s
        ) AS one
    ) AS later_rows
),
walked_running AS (
    (
        SELECT q.type, 1 AS step
        FROM job_queue AS q
        WHERE q.status = 'processing' AND q.worker_id ^@ 'jobtide:'
        ORDER BY q.type, q.tenant_id
        LIMIT 1
    )
    UNION ALL
    SELECT following.type, walked_running.step + 1
    FROM walked_running
    CROSS JOIN LATERAL (
        SELECT q.type
        FROM job_queue AS q
        WHERE q.status = 'processing' AND q.worker_id ^@ 'jobtide:' AND q.type > walked_running.type
        ORDER BY q.type, q.tenant_id
        LIMIT 1
    ) AS following
    WHERE walked_running.step <= (SELECT count(*) FROM requested)
),
running_type AS (
    SELECT requested.type
    FROM requested
    WHERE
        (SELECT count(*) FROM walked_running) > (SELECT count(*) FROM requested)
        OR requested.type IN (SELECT walked_running.type FROM walked_running)
),
running_key AS (
    SELECT running_type.type, first_of.tenant_id
    FROM running_type
    CROSS JOIN LATERAL (
        SELECT q.tenant_id
        FROM job_queue AS q
        WHERE q.status = 'processing' AND q.worker_id ^@ 'jobtide:' AND q.type = running_type.type
        ORDER BY q.type, q.tenant_id
        LIMIT 1
    ) AS first_of
    UNION ALL
    SELECT running_key.type, following.tenant_id
    FROM running_key
    CROSS JOIN LATERAL (
        SELECT q.tenant_id
        FROM job_queue AS q
        WHERE q.status = 'processing' AND q.worker_id ^@ 'jobtide:' AND q.type = running_key.type AND q.tenant_id > running_key.tenant_id
        ORDER BY q.type, q.tenant_id
        LIMIT 1
    ) AS following
),
-- Claims of our own workers only: a row that another consumer holds needs no worker of ours, even if it stays there
-- indefinitely. A lease of more than a day is no claim's; one without an end is over, so that its job
-- comes back.
ours AS MATERIALIZED (
    SELECT
        one.id, running_key.type, running_key.tenant_id, one.attempts,
        split_part(one.holder, ':', 2) AS pod_uid,
        one.lease_ends_at <= clock.at AS lapsed
    FROM running_key
    CROSS JOIN clock
    CROSS JOIN LATERAL (
        SELECT q.id, q.attempts, left(q.worker_id, 100) AS holder, coalesce(q.next_retry_at, '-infinity') AS lease_ends_at
        FROM job_queue AS q
        WHERE q.status = 'processing' AND q.worker_id ^@ 'jobtide:' AND q.type = running_key.type AND q.tenant_id = running_key.tenant_id
        ORDER BY q.type, q.tenant_id
        LIMIT %(running_cap)s
    ) AS one
    WHERE one.lease_ends_at < clock.at + interval '1 day'
),
running_pod AS (
    SELECT
        ours.type, ours.tenant_id, ours.pod_uid,
        count(*) AS running,
        count(*) FILTER (WHERE ours.lapsed) AS lapsed
    FROM ours
    GROUP BY ours.type, ours.tenant_id, ours.pod_uid
),
running AS (
    SELECT
        running_pod.type, running_pod.tenant_id,
        sum(running_pod.running)::bigint AS running,
        jsonb_object_agg(running_pod.pod_uid, running_pod.running) AS pods,
        jsonb_object_agg(running_pod.pod_uid, running_pod.lapsed) FILTER (WHERE running_pod.lapsed > 0) AS lapsed
    FROM running_pod
    GROUP BY running_pod.type, running_pod.tenant_id
),
-- At random, so that a job that runs for hours does not stand for all others; one row of each key before a second one,
-- so that no tenant's rows stand for those of the others.
running_to_watch AS (
    SELECT one.id, one.type, one.tenant_id, one.attempts AS attempt
    FROM (
        SELECT ours.*, row_number() OVER (PARTITION BY ours.type, ours.tenant_id ORDER BY random()) AS place
        FROM ours
    ) AS one
    ORDER BY one.place, random()
    LIMIT %(watch_running)s
),
-- A failing job may run and back off again between two readings, so that no reading sees it running.
soon_to_watch AS (
    SELECT following.id, soon.type, soon.tenant_id, least(greatest(following.attempts, 0), 2147483646) + 1 AS attempt
    FROM (
        SELECT waiting.type, waiting.tenant_id
        FROM waiting
        CROSS JOIN clock
        WHERE waiting.next_due_at < date_part('epoch', clock.at) + 5
        ORDER BY waiting.next_due_at
        LIMIT %(watch_soon)s
    ) AS soon
    CROSS JOIN clock
    CROSS JOIN LATERAL (
        SELECT q.id, q.attempts
        FROM job_queue AS q
        WHERE
            q.status = 'pending' AND q.type = soon.type AND q.tenant_id = soon.tenant_id
            AND coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) > clock.at
        ORDER BY coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz)
        LIMIT 1
    ) AS following
),
to_watch AS (
    SELECT
        one.type, one.tenant_id,
        array_agg(one.id::text) AS watch_ids,
        array_agg(one.attempt) AS watch_attempts
    FROM (SELECT * FROM running_to_watch UNION ALL SELECT * FROM soon_to_watch) AS one
    GROUP BY one.type, one.tenant_id
),
watched AS (
    SELECT
        latest.type, latest.tenant_id,
        count(*) FILTER (WHERE latest.status = 'completed') AS succeeded,
        count(*) FILTER (WHERE
            latest.status = 'failed'
            OR (latest.status = 'pending' AND latest.attempts >= before.attempt)
            OR (latest.status = 'processing' AND latest.attempts > before.attempt)
        ) AS failed,
        count(*) FILTER (WHERE latest.ran) AS followed,
        count(*) FILTER (WHERE latest.status IN ('completed', 'failed')) AS followed_ended,
        -- Until its end, if it has one since the previous reading.
        sum(least(
            greatest(coalesce(date_part('epoch', latest.completed_at), 'infinity') - %(previous_at)s::float8, 0),
            (SELECT date_part('epoch', clock.at) FROM clock) - %(previous_at)s::float8
        )) FILTER (WHERE latest.ran) AS followed_seconds
    FROM unnest(%(watched_ids)s::uuid[], %(watched_attempts)s::int[]) AS before (id, attempt)
    CROSS JOIN LATERAL (
        SELECT
            q.type, q.tenant_id, q.status, q.attempts, q.completed_at,
            q.status <> 'pending' OR q.attempts >= before.attempt AS ran
        FROM job_queue AS q
        WHERE q.id = before.id
        LIMIT 1
    ) AS latest
    WHERE latest.type IN (SELECT requested.type FROM requested)
    GROUP BY latest.type, latest.tenant_id
),
arrived AS (
    SELECT
        one.type, one.tenant_id,
        count(*) FILTER (WHERE one.created_at > clock.previous_at) AS arrivals_new,
        count(*) FILTER (WHERE one.created_at <= clock.previous_at) AS arrivals_again,
        count(*) FILTER (WHERE one.created_at > clock.overlap_from) AS arrivals_overlap,
        count(*) FILTER (WHERE of_status.status = 'pending' AND one.due_at <= clock.at) AS arrivals_due,
        count(*) FILTER (WHERE of_status.status = 'pending' AND one.due_at > clock.at AND one.created_at > clock.previous_at) AS later_new,
        count(*) FILTER (WHERE of_status.status = 'pending' AND one.due_at > clock.at AND one.created_at <= clock.previous_at) AS later_again,
        min(one.due_at) FILTER (WHERE of_status.status = 'pending' AND one.due_at > clock.at) AS arrivals_next_due_at,
        count(*) FILTER (WHERE one.is_ours AND of_status.status = 'completed') AS succeeded,
        count(*) FILTER (WHERE
            one.is_ours
            AND (of_status.status = 'failed' OR (of_status.status = 'pending' AND one.attempts > 0))
        ) AS failed
    FROM unnest(enum_range(NULL::job_status)) AS of_status (status)
    CROSS JOIN clock
    CROSS JOIN LATERAL (
        SELECT
            q.type, q.tenant_id, q.created_at, q.attempts,
            coalesce(q.next_retry_at, q.created_at) AS due_at,
            starts_with(left(q.worker_id, 8), 'jobtide:') AS is_ours
        FROM job_queue AS q
        WHERE
            q.status = of_status.status
            AND q.created_at > coalesce(clock.again_from, clock.overlap_from)
            AND q.created_at <= clock.at
        ORDER BY q.status DESC, q.created_at DESC
        LIMIT %(arrivals_cap)s
    ) AS one
    WHERE
        one.type IN (SELECT requested.type FROM requested)
        AND (of_status.status NOT IN ('completed', 'failed') OR (one.is_ours AND one.attempts > 0))
    GROUP BY one.type, one.tenant_id
)
SELECT
    date_part('epoch', clock.at) AS taken_at,
    by_key.*
FROM clock
LEFT JOIN (
    SELECT
        type,
        tenant_id::text AS tenant_id,
        coalesce(waiting.is_cut, FALSE) AS is_cut,
        coalesce(waiting.due, 0) AS due,
        coalesce(waiting.later, 0) AS later,
        coalesce(running.running, 0) AS running,
        coalesce(waiting.oldest_age_seconds, 0) AS oldest_age_seconds,
        coalesce(waiting.mean_age_seconds, 0) AS mean_age_seconds,
        waiting.next_due_at,
        running.pods,
        running.lapsed,
        coalesce(arrived.arrivals_new, 0) AS arrivals_new,
        coalesce(arrived.arrivals_again, 0) AS arrivals_again,
        coalesce(arrived.arrivals_overlap, 0) AS arrivals_overlap,
        coalesce(arrived.arrivals_due, 0) AS arrivals_due,
        coalesce(arrived.later_new, 0) AS later_new,
        coalesce(arrived.later_again, 0) AS later_again,
        date_part('epoch', arrived.arrivals_next_due_at) AS arrivals_next_due_at,
        coalesce(arrived.succeeded, 0) + coalesce(watched.succeeded, 0) AS succeeded,
        coalesce(arrived.failed, 0) + coalesce(watched.failed, 0) AS failed,
        coalesce(watched.followed, 0) AS followed,
        coalesce(watched.followed_ended, 0) AS followed_ended,
        coalesce(watched.followed_seconds, 0) AS followed_seconds,
        to_watch.watch_ids,
        to_watch.watch_attempts
    -- Small sets first: there may be ten thousand waiting keys.
    FROM running
    FULL JOIN watched USING (type, tenant_id)
    FULL JOIN to_watch USING (type, tenant_id)
    FULL JOIN arrived USING (type, tenant_id)
    FULL JOIN waiting USING (type, tenant_id)
) AS by_key ON TRUE
