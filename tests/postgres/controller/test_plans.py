"""The plans on a table with many finished rows and a deep queue: they read indexes, within the bounds of each file."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from jobtide.sql import load
from jobtide_controller.postgres.arrivals import Arrivals
from jobtide_controller.postgres.attempts import Watched
from jobtide_controller.postgres.readings import KEYS, SQL_PACKAGE, WATCH_RUNNING, WATCH_SOON
from jobtide_controller.postgres.rows import reading_of
from jobtide_controller.postgres.session import BEFORE
from jobtide_controller.selftest.rows import SQL_PACKAGE as SELFTEST_SQL

FINISHED, PENDING, TYPES, TENANTS, RUNNING = 200_000, 50_000, 10, 20, 100
CAP = 100
DUE_INDEX = "idx_job_queue_due"
POD = "11111111-2222-3333-4444-555555555555"

FILL = f"""
INSERT INTO tenants (name) SELECT 'tenant ' || i FROM generate_series(1, {TENANTS}) AS i;
CREATE TEMPORARY TABLE numbered AS SELECT row_number() OVER () - 1 AS n, id FROM tenants;
INSERT INTO job_queue (type, tenant_id, status, payload, created_at, completed_at)
SELECT 't' || i % {TYPES}, id, 'completed', '{{}}', now() - interval '1 day', now()
FROM generate_series(1, {FINISHED}) AS i INNER JOIN numbered ON n = i % {TENANTS};
INSERT INTO job_queue (type, tenant_id, payload, created_at, next_retry_at)
SELECT 't' || i % {TYPES}, id, '{{}}', now() - i * interval '10 ms', CASE WHEN i % 9 = 0 THEN now() + interval '1 h' END
FROM generate_series(1, {PENDING}) AS i INNER JOIN numbered ON n = i / {TYPES} % {TENANTS};
INSERT INTO job_queue (type, tenant_id, status, payload, worker_id, created_at, next_retry_at)
SELECT 't' || i % {TYPES}, id, 'processing', '{{}}', 'jobtide:{POD}:' || i, now() - interval '1 minute',
    now() + interval '1 h'
FROM generate_series(1, {RUNNING}) AS i INNER JOIN numbered ON n = i % {TENANTS};
"""

# The finished rows were created in one transaction; these were not.
SPREAD = """
UPDATE job_queue SET created_at = created_at - random() * interval '10 days', completed_at = created_at
WHERE status = 'completed' AND id IN (SELECT id FROM job_queue WHERE status = 'completed' LIMIT 20000)
"""


@pytest.fixture(scope="module")
def large(server) -> Iterator[psycopg.Connection[Any]]:
    """A connection with the rights of the controller's own role."""
    name = f"large_{uuid.uuid4().hex}"
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE jobtide_template")
        with psycopg.connect(server.url(name), autocommit=True, row_factory=dict_row) as conn:
            conn.prepare_threshold = None
            conn.execute(FILL)
            conn.execute("VACUUM ANALYZE job_queue")
            conn.execute("SET ROLE jobtide_controller")
            yield conn
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def parameters(**changed: Any) -> dict[str, Any]:
    (types, previous_at) = ([f"t{number}" for number in range(TYPES)], None)
    usual = {
        "types": types,
        "many_types": [],
        "keys_cap": KEYS,
        "depth_cap": CAP,
        "running_cap": 10_000,
        "arrivals_cap": 1000,
        "overlap_seconds": 1.0,
        "previous_at": previous_at,
    }
    watch = {"watched_ids": [], "watched_attempts": [], "watch_running": WATCH_RUNNING, "watch_soon": WATCH_SOON}
    return usual | watch | changed


def explain(
    conn: psycopg.Connection[Any], name: str, values: dict[str, Any], *, package: str = SQL_PACKAGE
) -> dict[str, Any]:
    """Run in a transaction that is rolled back: EXPLAIN ANALYZE executes the statement."""
    with conn.transaction(force_rollback=True):
        conn.execute(BEFORE, {"milliseconds": "10000"})
        statement = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + load(package, name)
        row = conn.execute(statement, values).fetchone()
    found = row["QUERY PLAN"]
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def buffers(plan: dict[str, Any]) -> int:
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def tables_scanned(plan: dict[str, Any]) -> set[tuple[str, str | None]]:
    return {
        (node["Node Type"], node.get("Index Name"))
        for node in nodes(plan)
        if "job_queue" in str(node.get("Relation Name"))
    }


def test_a_reading_reads_indexes_and_does_not_scan_the_table(large):
    plan = explain(large, "readings", parameters())
    assert tables_scanned(plan) <= {
        ("Index Only Scan", "idx_job_queue_due"),
        ("Index Scan", "idx_job_queue_status_created_at"),
        ("Index Only Scan", "idx_job_queue_running"),
        ("Index Scan", "idx_job_queue_running"),
        ("Index Scan Backward", "idx_job_queue_status_created_at"),
        ("Index Scan", "idx_job_queue_due"),  # rows to follow that are about to start
        ("Index Scan", "job_queue_pkey"),  # rows that are followed
    }
    assert buffers(plan) < 6 * TYPES * TENANTS * 2 + RUNNING + 100


def test_the_cost_of_a_reading_depends_on_keys_and_cap_not_on_the_queue(large):
    due = [node for node in nodes(explain(large, "readings", parameters())) if node["Node Type"] == "Index Only Scan"]
    counted = sum(node["Actual Rows"] * node["Actual Loops"] for node in due)
    assert counted <= TYPES + TYPES * TENANTS * (1 + 2 * CAP)
    assert counted < PENDING
    assert all(node["Heap Fetches"] == 0 for node in due)


def test_the_cost_of_reading_one_type_depends_on_the_keys_of_that_type(large):
    plan = explain(large, "readings", parameters(types=["t3"]))
    assert buffers(plan) < 6 * TENANTS * 2 + 4 * TYPES + RUNNING + 100


def test_ten_thousand_idle_types_do_not_cost_a_probe_each(large):
    plan = explain(large, "readings", parameters(types=[f"idle{number}" for number in range(10_000)]))
    assert buffers(plan) < 4 * TYPES + RUNNING + 100


def beyond(pages: int) -> dict[str, Any]:
    keys = [("t3", f"{number:032x}") for number in range(3)]
    return {"types": [key[0] for key in keys], "tenant_ids": [key[1] for key in keys], "pages": pages, "least_rows": 10}


def test_a_sample_of_the_rows_beyond_the_count_reads_no_more_pages_than_it_may(large):
    plan = explain(large, "beyond", beyond(200))
    (scan,) = (node for node in nodes(plan) if node["Node Type"] == "Sample Scan")
    assert buffers(scan) < 300


def test_following_rows_costs_one_probe_for_each(large):
    query = "SELECT array_agg(id::text) AS ids FROM (SELECT id FROM job_queue WHERE status = 'completed' LIMIT %s) AS q"
    ids = large.execute(query, [WATCH_RUNNING + WATCH_SOON]).fetchone()["ids"]
    plan = explain(large, "readings", parameters(watched_ids=ids, watched_attempts=[1] * len(ids)))
    (probes,) = (node for node in nodes(plan) if node.get("Index Name") == "job_queue_pkey")
    assert probes["Actual Rows"] * probes["Actual Loops"] == len(ids)
    assert buffers(plan) < 6 * TYPES * TENANTS * 2 + RUNNING + 100 + 5 * len(ids)


def test_the_rows_to_follow_are_few_even_if_many_are_about_to_start(large):
    with large.transaction(force_rollback=True):
        large.execute("RESET ROLE")
        large.execute(
            "UPDATE job_queue SET next_retry_at = now() + interval '4 s' "
            "WHERE next_retry_at IS NOT NULL AND status = 'pending'"
        )
        large.execute("SET LOCAL ROLE jobtide_controller")
        plan = explain(large, "readings", parameters())
        rows = large.execute(load(SQL_PACKAGE, "readings"), parameters()).fetchall()
    heap = [node for node in nodes(plan) if (node["Node Type"], node.get("Index Name")) == ("Index Scan", DUE_INDEX)]
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in heap) <= WATCH_SOON
    assert len(Watched.of(rows).ids) == WATCH_RUNNING + WATCH_SOON


def test_arrivals_after_a_long_gap_are_bounded_by_their_cap(large):
    now = large.execute("SELECT extract(epoch FROM now())::float8 AS now").fetchone()["now"]
    plan = explain(large, "readings", parameters(previous_at=now - 3600, types=["t1"]))
    scanned = [node for node in nodes(plan) if node.get("Index Name") == "idx_job_queue_status_created_at"]
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in scanned) <= 4 * 1000 + RUNNING


def test_the_reading_of_a_large_table_is_correct(large):
    rows = large.execute(load(SQL_PACKAGE, "readings"), parameters(depth_cap=1_000_000)).fetchall()
    reading, _ = reading_of(rows, Arrivals(), depth_cap=1_000_000, query_seconds=0.0, laps={}, least_limits={})
    expected = large.execute(
        "SELECT count(*) FILTER (WHERE next_retry_at IS NULL) AS due, count(next_retry_at) AS later "
        "FROM job_queue WHERE status = 'pending'"
    ).fetchone()
    depths = reading.depths.values()
    assert {"due": sum(d.due for d in depths), "later": sum(d.later for d in depths)} == expected
    assert sum(d.running for d in depths) == RUNNING
    assert reading.pods[POD].jobs == RUNNING


def test_a_rescue_reads_the_running_rows_only(large):
    plan = explain(large, "rescue_pod", {"pod_uids": [POD], "gives_back": [True], "tenants": None, "at_most": 10})
    assert ("Seq Scan", None) not in tables_scanned(plan)
    locked = [node for node in nodes(plan) if node["Node Type"] == "LockRows"]
    assert locked[0]["Actual Rows"] == 10
    assert buffers(plan) < 20 * RUNNING + 200


def test_the_tenants_of_a_refused_rescue_are_found_in_the_running_rows_only(large):
    plan = explain(large, "rescue_tenants", {"pod_uids": [POD]})
    assert ("Seq Scan", None) not in tables_scanned(plan)
    assert buffers(plan) < 20 * RUNNING + 200


def ended(**changed: Any) -> dict[str, Any]:
    usual = {"status": "completed", "seconds": '{"t1": 3600}', "youngest_seconds": 3600, "after_at": None}
    return usual | {"row_count": 500, "most": 1000} | changed


def rows_of(plan: dict[str, Any], index: str) -> float:
    return sum(node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan) if node.get("Index Name") == index)


def test_a_batch_of_deletions_looks_at_its_rows_through_existing_indexes(large):
    with large.transaction(force_rollback=True):
        large.execute("RESET ROLE")
        large.execute(SPREAD)
        large.execute("SET LOCAL ROLE jobtide_controller")
        plan = explain(large, "delete_ended", ended())
    assert tables_scanned(plan) - {("ModifyTable", None)} <= {
        ("Index Only Scan", "idx_job_queue_status_created_at"),
        ("Index Scan", "idx_job_queue_status_created_at"),
        ("Index Scan", "job_queue_pkey"),
    }
    assert rows_of(plan, "idx_job_queue_status_created_at") <= 3 * 500
    assert 0 < rows_of(plan, "job_queue_pkey") < 500
    assert buffers(plan) < 5 * 500 + 10 * rows_of(plan, "job_queue_pkey")


def test_a_batch_of_deletions_with_ten_thousand_types_costs_as_much(large):
    seconds = json.dumps({f"t{number}": 3600 for number in range(10_000)} | {"t1": 3600})
    with large.transaction(force_rollback=True):
        large.execute("RESET ROLE")
        large.execute(SPREAD)
        large.execute("SET LOCAL ROLE jobtide_controller")
        plan = explain(large, "delete_ended", ended(seconds=seconds, most=0))
    assert buffers(plan) < 5 * 500


def test_a_pass_gets_past_rows_of_one_moment_without_reading_them(large):
    """A bulk insert of millions: no statement ends in time that looks at each."""
    with large.transaction(force_rollback=True):
        large.execute("RESET ROLE")
        large.execute(SPREAD)
        large.execute("UPDATE job_queue SET created_at = '2000-01-01' WHERE status = 'completed'")
        large.execute("SET LOCAL ROLE jobtide_controller")
        plan = explain(large, "delete_ended", ended(most=0))
    assert rows_of(plan, "idx_job_queue_status_created_at") <= 500


def test_types_that_no_pool_handles_are_found_by_probes(large):
    requested = [f"t{number}" for number in range(5)]
    plan = explain(large, "unserved", {"types": requested, "at_most": 3, "row_count": 100})
    assert tables_scanned(plan) == {("Index Only Scan", DUE_INDEX)}
    assert rows_of(plan, DUE_INDEX) <= TYPES + 3 * 100
    assert buffers(plan) < 4 * TYPES + 3 * 110


@pytest.mark.parametrize(
    ("role", "name", "indexes"),
    [
        ("jobtide_worker", "look", {"job_queue_pkey"}),
        # Both begin with the type; which one costs less depends on the statistics.
        ("jobtide_worker", "end_waiting", {"idx_job_queue_type", DUE_INDEX}),
        ("jobtide_controller", "delete_ended", {"idx_job_queue_type"}),
    ],
)
def test_the_test_of_an_installation_looks_at_its_own_rows_only(large, role, name, indexes):
    """Of a type that has no rows, on a table that is full of others."""
    values = {"id": uuid.uuid4(), "type": "jobtide-test.queue.tide"}
    with large.transaction(force_rollback=True):
        large.execute("RESET ROLE")
        large.execute(f"SET LOCAL ROLE {role}")
        plan = explain(large, name, values, package=SELFTEST_SQL)
    assert indexes & {name for _, name in tables_scanned(plan)}
    assert buffers(plan) < 10
