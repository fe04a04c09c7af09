"""What each statement may touch on a large table: bounded by its own rows, not by the backlog.

Every .sql file of the worker must be named here, so a new statement comes with its bound.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from importlib.resources import files
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from jobtide.producer.enqueue import NewJob, _check
from jobtide.queue.claims import _parameters
from jobtide.queue.ring import Ring
from jobtide.schema import apply
from jobtide.sql import load

PENDING, COMPLETED, TENANTS = 1_000_000, 100_000, 500
LAP = Ring(("common",)).lap()
RARE = Ring(("rare", "absent")).lap()
ONE = {"ids": [uuid4()], "tokens": ["jobtide:p:n"], "attempts": [1]}


def lap(of, wanted):
    how = {"token": "t", "lease_seconds": 60.0, "most_bytes": 4_194_304, "excluded": []}
    return {**_parameters(of), "wanted": wanted, "rows_per_key": wanted, **how}


LIMITS = {"cap": 8, "pool": "a/x", "has_own": True, "has_shared": True, "has_typed": True}


def look(of, wanted):
    return {**_parameters(of), "wanted": wanted, "counted": ["common"], **LIMITS}


def oldest(of, tenants):
    return {name: _parameters(of)[name] for name in ("types", "firsts", "lasts")} | {"tenants": tenants}


def capped(keys):
    return {
        "types": ["common"],
        "key_types": ["common"] * keys,
        "key_tenants": [UUID(int=number) for number in range(1, keys + 1)],
        "key_positions": [1] * keys,
        "key_sinces": [None] * keys,
        "key_since_ids": [None] * keys,
        "key_caps": [8] * keys,
        "key_type_caps": [4] * keys,
        "key_weights": [3] * keys,
        "visit_type": None,
        "visit_tenant": None,
        "visit_rows": 0,
        "wanted": keys,
        "rows_per_key": 1,
        "token": "t",
        "lease_seconds": 60.0,
        "most_bytes": 4_194_304,
        "excluded": [],
    }


# What a producer sends for one job of a tenant that `large` has.
UNIQUE = _check(NewJob(type="common", tenant_id=UUID(int=1), unique="k")).as_json()


# statement, parameters, shared buffers that it may touch: measured, and doubled.
CASES = [
    pytest.param("claim", lap(LAP, 1), 70, id="claim one of many"),
    pytest.param("claim", lap(LAP, 50), 2_300, id="claim fifty of many"),
    pytest.param("claim", lap(RARE, 50), 15, id="claim of types without jobs"),
    pytest.param("lock_tenants", look(LAP, 50), 1_400, id="lock fifty tenants under a cap"),
    pytest.param("claim_capped", capped(50), 2_300, id="claim fifty under a cap"),
    pytest.param("pool_limits", {"pool": "a/x"}, 20, id="look for limits"),
    pytest.param("has_limits", {}, 20, id="look for the tables of limits"),
    pytest.param(
        "finish",
        {**ONE, "statuses": ["completed"], "results": ["{}"], "delays": [None], "gives_back": [False]},
        12,
        id="finish one",
    ),
    pytest.param("any_due", {"types": ["rare", "absent"]}, 15, id="look for due jobs of types without jobs"),
    pytest.param("any_due", {"types": ["common"]}, 15, id="look for due jobs of many"),
    pytest.param("oldest_due", oldest(LAP, 64), 520, id="look for the oldest job of 64 tenants of many"),
    pytest.param(
        "oldest_due_limited",
        oldest(LAP, 64) | {"counted": ["common"], **LIMITS},
        1_400,
        id="look for the oldest job of 64 tenants under a cap",
    ),
    pytest.param("oldest_due", oldest(RARE, 64), 15, id="look for the oldest job of types without jobs"),
    pytest.param("confirm", {"ids": ONE["ids"], "tokens": ONE["tokens"]}, 12, id="confirm one"),
    pytest.param(
        "finish_unlocked",
        {**ONE, "statuses": ["completed"], "results": ["{}"], "delays": [None], "gives_back": [False]},
        20,
        id="finish one whose row may be locked",
    ),
    pytest.param("rest", {"hashed": ["a"], "watches": False}, 20, id="rest"),
    pytest.param("rise", {"types": ["a"], "passes_on": True}, 20, id="rise"),
    pytest.param("held", ONE, 12, id="ask for one claim"),
    pytest.param("extend", {**ONE, "progress": [None], "lease_seconds": 60.0}, 20, id="extend one"),
    pytest.param("processing", {"token_prefix": "jobtide:", "at_most": 100}, 110, id="list 50 running jobs"),
    pytest.param("fail_pending", {"id": uuid4(), "message": "no"}, 12, id="fail one whose claim is refused"),
    pytest.param(
        "requeue_foreign",
        {"older_than_seconds": -60.0, "worker_ids": None, "types": None, "resets_attempts": False, "at_most": 10},
        510,
        id="requeue ten claims of another consumer",
    ),
    pytest.param(
        "foreign_claims",
        {"older_than_seconds": -60.0, "worker_ids": None, "types": None, "at_most": 50},
        15,
        id="count the claims of other consumers",
    ),
    pytest.param(
        "rescue_expired", {"at_most": 100, "ids": None}, 210, id="rescue expired leases among 50 running jobs"
    ),
    pytest.param(
        "return_unanswered", {"tokens": ["jobtide:p:n"], "ids": None}, 10, id="requeue one claim among 50 running jobs"
    ),
    pytest.param(
        "extend_own_pod",
        {"token_prefix": "jobtide:p:", "lease_seconds": 60.0, "ids": None},
        10,
        id="extension of one pod among 50 running jobs",
    ),
    pytest.param(
        "rescue_own_pod", {"token_prefix": "jobtide:p:", "ids": None}, 10, id="rescue of one pod among 50 running jobs"
    ),
    pytest.param("enqueue", {"asked": f"[{UNIQUE}]"}, 48, id="enqueue one with a key"),
    pytest.param("enqueue_lock", {"asked": "[1, 2]"}, 0, id="lock two keys"),
]


@pytest.fixture(scope="module")
def large(server):
    """A connection to a large table: many tenants, many finished rows, 50 jobs running."""
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute("CREATE DATABASE plans TEMPLATE template0")
        try:
            apply(server.url("plans"))
            with psycopg.connect(server.url("plans"), prepare_threshold=None) as connection:
                fill(connection)
                yield connection
        finally:
            admin.execute("DROP DATABASE plans WITH (FORCE)")


def fill(connection):
    """Keys and indexes come after the rows, and ids from md5, as random and much cheaper than the default."""
    connection.execute(
        "INSERT INTO tenants SELECT lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, %s) n", [TENANTS]
    )
    dropped = connection.execute(
        """SELECT 'ALTER TABLE job_queue ADD ' || pg_get_constraintdef(oid),
                  'ALTER TABLE job_queue DROP CONSTRAINT ' || quote_ident(conname)
           FROM pg_constraint WHERE conrelid = 'job_queue'::regclass AND contype IN ('p', 'f')
           UNION ALL
           SELECT pg_get_indexdef(indexrelid), 'DROP INDEX ' || indexrelid::regclass
           FROM pg_index WHERE indrelid = 'job_queue'::regclass AND NOT indisprimary"""
    ).fetchall()
    for _, drop in dropped:
        connection.execute(drop)
    for status, type_, rows in (
        ("pending", "common", PENDING), ("completed", "common", COMPLETED), ("processing", "common", 50),
    ):  # fmt: skip
        connection.execute(
            """INSERT INTO job_queue (id, tenant_id, type, status, worker_id)
               SELECT md5(%s || n)::uuid, lpad(to_hex(1 + n %% %s), 32, '0')::uuid, %s, %s::job_status, 'worker'
               FROM generate_series(1, %s) n""",
            [status, TENANTS, type_, status, rows],
        )
    connection.execute("SET maintenance_work_mem = '256MB'")
    for create, _ in dropped:
        connection.execute(create)
    connection.commit()
    connection.autocommit = True
    connection.execute(
        "INSERT INTO jobtide_tenant_limits SELECT one.pool, lpad(to_hex(n), 32, '0')::uuid, one.type, 8, 3 "
        "FROM generate_series(1, 10000) n, "
        "(VALUES ('a/x', ''), ('a/y', ''), ('', ''), ('', 'common')) AS one (pool, type)"
    )
    connection.execute("INSERT INTO jobtide_pool_limits SELECT 'a/' || n, 8 FROM generate_series(1, 1000) n")
    connection.execute("VACUUM ANALYZE job_queue, jobtide_tenant_limits, jobtide_pool_limits")
    connection.autocommit = False


def sequentially_scanned(plan) -> set[str]:
    """Tables, also those of the catalog."""
    below = set().union(*(sequentially_scanned(part) for part in plan.get("Plans", [])))
    return below | ({plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set())


@pytest.mark.parametrize(("name", "parameters", "most_buffers"), CASES)
@pytest.mark.parametrize("plan_cache_mode", ["force_custom_plan", "force_generic_plan"])
def test_a_statement_touches_what_it_works_on_and_no_more(large, name, parameters, most_buffers, plan_cache_mode):
    plan = explain(large, name, parameters, plan_cache_mode)
    assert {name for name in sequentially_scanned(plan) if not name.startswith("pg_")} == set(), plan
    assert pages(plan) <= most_buffers


@pytest.mark.parametrize(("name", "parameters", "most_buffers"), CASES[:3])
def test_the_plan_does_not_depend_on_the_parameters(large, name, parameters, most_buffers):
    """Otherwise PostgreSQL would plan every claim again, instead of keeping one plan."""
    custom, generic = (explain(large, name, parameters, f"force_{kind}_plan") for kind in ("custom", "generic"))
    assert custom["Total Cost"] == pytest.approx(generic["Total Cost"], rel=0.02)


@pytest.mark.parametrize("plan_cache_mode", ["auto", "force_custom_plan", "force_generic_plan"])
def test_every_idle_poll_among_a_million_rows_of_other_types_stays_small(large, plan_cache_mode):
    with prepared(large, "claim", lap(RARE, 50), plan_cache_mode) as execute:
        for _ in range(20):
            assert large.execute(execute).fetchall() == []
        plan = explained(large, execute)
    assert pages(plan) <= 15


def test_polls_soon_stop_being_planned(large):
    with prepared(large, "claim", lap(RARE, 50), "auto") as execute:
        for _ in range(20):
            large.execute(execute)
        counts = large.execute(
            "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE name = 'explained'"
        )
        assert counts.fetchone() == (5, 15)


@pytest.mark.parametrize(("name", "parameters", "_"), CASES[3:5])
def test_a_capped_claim_reads_none_of_the_running_rows_beyond_a_tenants_cap(large, name, parameters, _):
    """A tenant that marks its own rows as running: 1,000,000 of them made this claim sixty times as slow."""
    before = pages(explain(large, name, parameters, "force_generic_plan"))
    large.execute(
        "INSERT INTO job_queue (tenant_id, type, status, worker_id) "
        "SELECT lpad('1', 32, '0')::uuid, 'common', 'processing', "
        "(ARRAY['jobtide:p:n', 'another consumer', NULL])[1 + n % 3] FROM generate_series(1, 60000) AS n"
    )
    assert pages(explain(large, name, parameters, "force_generic_plan")) <= before + 100


def pages(plan):
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


@contextmanager
def prepared(connection, name, parameters, plan_cache_mode):
    """The EXECUTE of a prepared statement with these parameters; nothing that it does is kept."""
    names = list(parameters)
    numbered = re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", load("jobtide.sql", name))
    arguments = sql.SQL(", ").join(map(sql.Literal, parameters.values()))
    connection.execute(f"SET LOCAL plan_cache_mode = {plan_cache_mode}")
    connection.execute(f"PREPARE explained AS {numbered}")
    try:
        yield sql.SQL("EXECUTE explained ({})" if parameters else "EXECUTE explained").format(arguments)
    finally:
        connection.rollback()
        connection.execute("DEALLOCATE explained")
        connection.rollback()


def explained(connection, execute):
    explanation = connection.execute(sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}").format(execute)).fetchone()
    return explanation[0][0]["Plan"]


def explain(connection, name, parameters, plan_cache_mode):
    """The plan that a prepared statement gets under this mode, and what it touched."""
    with prepared(connection, name, parameters, plan_cache_mode) as execute:
        return explained(connection, execute)


def test_every_statement_has_its_bound():
    statements = {
        file.name.removesuffix(".sql") for file in files("jobtide.sql").iterdir() if file.name.endswith(".sql")
    }
    assert statements == {case.values[0] for case in CASES}
