"""The seed, sentence by sentence: enum, columns, defaults, indexes, cascade."""

from __future__ import annotations

import json
from datetime import timedelta

import psycopg
import pytest

COLUMNS = [
    ("id", "uuid", "gen_random_uuid()"),
    ("tenant_id", "uuid", None),
    ("type", "text", None),
    ("status", "job_status", "'pending'::job_status"),
    ("payload", "jsonb", "'{}'::jsonb"),
    ("result", "jsonb", "'{}'::jsonb"),
    ("worker_id", "text", None),
    ("attempts", "integer", "0"),
    ("next_retry_at", "timestamp with time zone", None),
    ("created_at", "timestamp with time zone", "now()"),
    ("completed_at", "timestamp with time zone", None),
]

DUE_AT = "coalesce(next_retry_at, created_at, '-infinity'::timestamptz)"
CAPPED_DEPTH = f"""
SELECT count(*) FROM (
  SELECT FROM job_queue WHERE status = 'pending' AND type = 't' AND tenant_id = %s AND {DUE_AT} <= now() LIMIT 1000
) AS capped
"""


def test_the_enum_has_the_seeds_values_in_order(connect):
    values = connect().execute("SELECT enum_range(NULL::job_status)::text[]").fetchone()[0]
    assert values == ["pending", "processing", "completed", "failed"]


def test_the_columns_are_the_seeds_with_type_and_default(connect):
    found = connect().execute(
        """
        SELECT attname, format_type(atttypid, atttypmod), pg_get_expr(adbin, adrelid)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = 'job_queue'::regclass AND attnum > 0 ORDER BY attnum
        """
    )
    assert found.fetchall() == COLUMNS


def test_id_is_the_primary_key(connect):
    keys = connect().execute("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p'")
    assert ("job_queue_pkey", "PRIMARY KEY (id)") in keys.fetchall()


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        pytest.param("idx_job_queue_tenant_id", "(tenant_id)", id="tenant"),
        pytest.param("idx_job_queue_status_created_at", "(status, created_at)", id="polling"),
        pytest.param("idx_job_queue_type", "(type)", id="type"),
    ],
)
def test_the_seeds_indexes_are_there_by_name(connect, name, columns):
    definition = connect().execute("SELECT pg_get_indexdef(%s::regclass)", [name]).fetchone()[0]
    assert definition == f"CREATE INDEX {name} ON public.job_queue USING btree {columns}"


def test_a_plain_insert_makes_a_pending_job_that_is_due(connect, tenant):
    row = connect().execute(
        "INSERT INTO job_queue (tenant_id, type) VALUES (%s, 'ai_generate') "
        "RETURNING status, payload, result, worker_id, attempts, next_retry_at, now() - created_at, completed_at",
        [tenant()],
    )
    assert row.fetchone() == ("pending", {}, {}, None, 0, None, timedelta(0), None)


@pytest.mark.parametrize("column", ["tenant_id", "type", "status", "attempts"])
def test_what_makes_a_job_cannot_be_null(connect, tenant, column):
    values = {"tenant_id": tenant(), "type": "t", "status": "pending", "attempts": 0} | {column: None}
    insert = f"INSERT INTO job_queue ({', '.join(values)}) VALUES (%s, %s, %s, %s)"
    with pytest.raises(psycopg.errors.NotNullViolation, match=f'"{column}"'):
        connect().execute(insert, list(values.values()))


def test_a_status_outside_the_enum_is_refused(connect, tenant):
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="job_status"):
        connect().execute("INSERT INTO job_queue (tenant_id, type, status) VALUES (%s, 't', 'done')", [tenant()])


def test_a_job_of_no_tenant_is_refused(connect):
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="tenants"):
        connect().execute("INSERT INTO job_queue (tenant_id, type) VALUES (gen_random_uuid(), 't')")


def test_deleting_a_tenant_deletes_its_jobs_and_no_others(connect, people):
    conn = connect()
    conn.execute("DELETE FROM tenants WHERE id = %s", [people.mine])
    assert conn.execute("SELECT id FROM job_queue").fetchall() == [(people.other_job,)]


def test_a_job_without_created_at_is_due_at_once(connect, tenant):
    conn, tenant_id = connect(), tenant()
    conn.execute("INSERT INTO job_queue (tenant_id, type, created_at) VALUES (%s, 't', NULL)", [tenant_id])
    assert conn.execute(CAPPED_DEPTH, [tenant_id]).fetchone() == (1,)


def test_a_capped_depth_is_read_from_the_due_index_alone(connect, tenant):
    conn, tenant_id = connect(), tenant()
    conn.execute(
        "INSERT INTO job_queue (tenant_id, type, status) "
        "SELECT %s, 't', CASE WHEN n %% 10 = 0 THEN 'pending' ELSE 'completed' END::job_status "
        "FROM generate_series(1, 20000) AS n",
        [tenant_id],
    )
    conn.execute("VACUUM ANALYZE job_queue")
    plan = conn.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {CAPPED_DEPTH}", [tenant_id]).fetchone()[0]
    (scan,) = [node for node in _nodes(plan[0]["Plan"]) if "Scan" in node["Node Type"]]
    assert (scan["Node Type"], scan["Index Name"]) == ("Index Only Scan", "idx_job_queue_due"), json.dumps(plan)
    assert scan["Heap Fetches"] == 0
    assert scan["Actual Rows"] == 1000


def _nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)
