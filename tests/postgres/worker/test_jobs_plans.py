"""What each of the operator's statements may touch on a large table: bounded by what it looks at, not by the table."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from uuid import UUID, uuid4

import psycopg
import pytest

from jobtide.operate import select
from jobtide.operate.filters import JobFilter
from jobtide.operate.select import Selection
from jobtide.schema import apply
from jobtide.sql import load

ENDED, PENDING, TENANTS, RUNNING = 400_000, 100_000, 500, 50
LOOK = 2_000
NOW = datetime.now(UTC)
LARGE, SMALL = UUID(int=1), UUID(int=2)
ABSENT = JobFilter(type="absent")
ALL = ["pending", "processing", "completed", "failed"]


def asked(which, *, look=LOOK, wanted=LOOK, **more):
    selection = Selection(
        which, which.statuses(), due_after=more.pop("due_after", None), ended_by=more.pop("ended_by", None)
    )
    return selection.parameters(excluded=[], look=look, wanted=wanted, **more)


def walk(status, which=ABSENT, **more):
    window = {"status": status, "since": select._FIRST, "until": select._LAST}
    return asked(which, **more) | window


IDS = {"ids": [uuid4() for _ in range(100)], "type": "common", "tenant": LARGE}

LIMITS = {"tenant": LARGE, "type": "common", "most": 100}

# statement, parameters, shared buffers that it may touch: a row that is looked at may lie in a page of its own.
CASES = [
    pytest.param("by_time", walk("completed"), LOOK + 100, id="walk through completed jobs"),
    pytest.param("by_time", walk("pending", due_after=NOW), LOOK + 100, id="walk through pending jobs"),
    pytest.param("by_time", walk("completed", JobFilter(), wanted=51), 150, id="the newest fifty"),
    pytest.param("by_time", walk("failed", JobFilter(error="absent"), ended_by=NOW), LOOK + 100, id="search errors"),
    pytest.param("by_time", walk("processing"), 120, id="walk through running jobs"),
    pytest.param("by_tenant", asked(JobFilter(tenant=LARGE), statuses=ALL), LOOK + 100, id="a large tenant"),
    pytest.param("by_tenant", asked(JobFilter(tenant=SMALL), statuses=ALL), LOOK + 100, id="a small tenant"),
    pytest.param("by_tenant", asked(JobFilter(tenant=uuid4()), statuses=ALL), 10, id="a tenant without jobs"),
    pytest.param("by_type", asked(JobFilter(type="common")), LOOK + 100, id="waiting jobs of a common type"),
    pytest.param("by_type", asked(JobFilter(type="common", tenant=SMALL)), 250, id="waiting jobs of a type and tenant"),
    pytest.param("by_type", asked(JobFilter(type="absent")), 10, id="waiting jobs of no type"),
    pytest.param("by_id", asked(JobFilter(), id=uuid4(), statuses=ALL), 10, id="one job"),
    pytest.param("lines", IDS, 450, id="a hundred lines"),
    pytest.param("failures", {"look": LOOK}, LOOK + 100, id="failed jobs of the last hour"),
    pytest.param("contents", {"id": uuid4(), "with_payload": True}, 10, id="contents"),
    pytest.param("begin", {}, 0, id="begin"),
    pytest.param(
        "settings", {"milliseconds": "1000", "lock_milliseconds": "1000", "reads_only": False}, 0, id="settings"
    ),
    pytest.param("retry", IDS | {"ended_by": NOW}, 900, id="retry a hundred"),
    pytest.param("cancel", IDS | {"by": "alice"}, 900, id="cancel a hundred"),
    pytest.param("run_now", IDS, 900, id="make a hundred due"),
    pytest.param("purge", IDS | {"ended_by": NOW}, 450, id="delete a hundred"),
    pytest.param(
        "why",
        {"id": UUID("c4ca4238a0b923820dcc509a6f75849b"), "cap_types": ["common", "rare"], "most": 1_000},
        1_200,
        id="why",
    ),
    pytest.param("limits", LIMITS | {"pools": ["media/pool1", "media/pool2"]}, 40, id="limits of two pools"),
    pytest.param("limits", LIMITS | {"pools": None}, 2_000, id="limits of all pools"),
]


@pytest.fixture(scope="module")
def large(server):
    """A connection with an operator's rights to a large table: a tenant with a third of it, and 50 jobs running."""
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute("CREATE DATABASE operator_plans TEMPLATE template0")
        try:
            apply(server.url("operator_plans"), roles=True)
            with psycopg.connect(server.url("operator_plans"), prepare_threshold=None) as connection:
                fill(connection)
                connection.execute("SET ROLE jobtide_operator")
                connection.commit()
                yield connection
        finally:
            admin.execute("DROP DATABASE operator_plans WITH (FORCE)")


def fill(connection):
    connection.execute(
        "INSERT INTO tenants SELECT lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, %s) n", [TENANTS]
    )
    indexes = connection.execute(
        "SELECT pg_get_indexdef(indexrelid), 'DROP INDEX ' || indexrelid::regclass FROM pg_index "
        "WHERE indrelid = 'job_queue'::regclass AND NOT indisprimary"
    ).fetchall()
    connection.execute("ALTER TABLE job_queue DROP CONSTRAINT job_queue_tenant_id_fkey")
    for _, drop in indexes:
        connection.execute(drop)
    for status, rows in (
        ("completed", ENDED * 9 // 10),
        ("failed", ENDED // 10),
        ("pending", PENDING),
        ("processing", RUNNING),
    ):
        connection.execute(
            """INSERT INTO job_queue (id, tenant_id, type, status, worker_id, created_at, completed_at)
               SELECT md5(CASE WHEN %(status)s = 'pending' THEN '' ELSE %(status)s END || n)::uuid,
                 lpad(to_hex(CASE WHEN n %% 3 = 0 THEN 1 ELSE 1 + n %% %(tenants)s END), 32, '0')::uuid, 'common',
                 %(status)s::job_status, 'jobtide:p:n', now() - n * interval '1 second',
                 CASE WHEN %(status)s IN ('completed', 'failed') THEN now() - n * interval '1 second' END
               FROM generate_series(1, %(rows)s) n""",
            {"status": status, "tenants": TENANTS, "rows": rows},
        )
    for create, _ in indexes:
        connection.execute(create)
    connection.execute(
        "INSERT INTO jobtide_pool_limits SELECT 'media/pool' || n, 4, '{}' FROM generate_series(1, 2000) n"
    )
    connection.execute(
        "INSERT INTO jobtide_tenant_limits (pool, tenant_id, max_concurrent) "
        "SELECT 'media/pool' || n % 20, id, 3 FROM tenants, generate_series(1, 20) n "
        "UNION ALL SELECT '', id, 3 FROM tenants"
    )
    connection.commit()
    connection.autocommit = True
    connection.execute("VACUUM ANALYZE job_queue, jobtide_pool_limits, jobtide_tenant_limits")
    connection.autocommit = False


@pytest.mark.parametrize(("name", "parameters", "most_buffers"), CASES)
def test_a_statement_touches_what_it_looks_at_and_no_more(large, name, parameters, most_buffers):
    statement = load("jobtide.operate", f"sql/{name}")
    try:
        ((plan,),) = large.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters).fetchall()
    finally:
        large.rollback()
    root = plan[0]["Plan"]
    assert "'Seq Scan'" not in str(root), root
    assert root["Shared Hit Blocks"] + root["Shared Read Blocks"] <= most_buffers, root


def test_every_statement_has_its_bound():
    found = {file.name.removesuffix(".sql") for file in files("jobtide.operate").joinpath("sql").iterdir()}
    assert found == {case.values[0] for case in CASES}
