-- The result and the payload of a job, as JSON text where they have at most 1 MiB, no number of thousands of digits (a
-- byte of jsonb then becomes at most 6 characters), and fewer than 100 levels: parsers recurse. The payload is not read
-- unless it is asked for.
--
-- Parameters: id uuid, with_payload bool
-- Index:      job_queue_pkey
SELECT
    coalesce(size.result_bytes, 0) AS result_bytes,
    CASE
        WHEN (size.result_bytes <= 1048576 AND NOT q.result @? 'strict $.**{100}') IS NOT TRUE THEN NULL
        WHEN NOT q.result @? 'strict $.** ? (@ > 1e1000 || @ < -1e1000)'
            THEN q.result::text
    END AS result,
    coalesce(size.payload_bytes, 0) AS payload_bytes,
    CASE
        WHEN (size.payload_bytes <= 1048576 AND NOT q.payload @? 'strict $.**{100}') IS NOT TRUE THEN NULL
        WHEN NOT q.payload @? 'strict $.** ? (@ > 1e1000 || @ < -1e1000)'
            THEN q.payload::text
    END AS payload
FROM job_queue AS q
CROSS JOIN LATERAL (
    SELECT
        pg_column_size(q.result #> '{}') AS result_bytes,
        CASE WHEN %(with_payload)s::bool THEN pg_column_size(q.payload #> '{}') END AS payload_bytes
) AS size
WHERE q.id = %(id)s::uuid
