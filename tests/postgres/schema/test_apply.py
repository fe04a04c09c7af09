"""`jobtide schema apply`: once, again, ten at once, on full tables, and without the rights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest
from psycopg import sql

from jobtide.schema import ProblemKind, SchemaError, apply, check
from jobtide.schema.script import INDEXES

CREATED = "created table job_queue with its indexes and policies"
WAKES = "created trigger jobtide_wake: an INSERT wakes idle workers (--without-wake leaves it out)"


def test_apply_creates_everything_and_reports_it(empty_database, connect):
    assert apply(empty_database).done == (CREATED, WAKES)
    assert check(connect(empty_database)) == ()


def test_a_second_apply_changes_nothing_and_reports_it(empty_database, schema_of):
    apply(empty_database, roles=True)
    before = schema_of(empty_database)
    assert apply(empty_database).done == ()
    apply(empty_database, roles=True)
    assert schema_of(empty_database) == before


@pytest.mark.parametrize("name", ["Queue", "my queue", 'a"b', "a.b", "a,b", "select", "a\\b", "größe"])
def test_a_schema_whose_name_needs_quotes_gets_table_and_roles(empty_database, connect, name):
    admin = connect(empty_database)
    schema = sql.Identifier(name)
    admin.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
    database = sql.Identifier(admin.info.dbname)
    admin.execute(sql.SQL("ALTER DATABASE {} SET search_path = {}").format(database, schema))
    assert apply(empty_database, roles=True, tenant_walls=True).done[0] == CREATED
    apply(empty_database, roles=True, tenant_walls=True)
    admin = connect(empty_database)
    admin.execute("DROP INDEX idx_job_queue_due")
    apply(empty_database, roles=True)
    for role in ("jobtide_worker", "jobtide_controller"):
        admin.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        assert admin.execute("SELECT count(id) FROM job_queue").fetchone() == (0,)
        admin.execute("RESET ROLE")
    assert check(admin) == ()


def test_ten_at_once_make_one_table(empty_database, schema_of, database):
    together = Barrier(10, timeout=60)

    def run(_: int) -> tuple[str, ...]:
        together.wait()
        return apply(empty_database, roles=True).done

    with ThreadPoolExecutor(10) as pool:
        done = list(pool.map(run, range(10)))
    assert sum(CREATED in lines for lines in done) == 1
    assert schema_of(empty_database) == schema_of(database)


def test_applies_in_ten_databases_of_a_new_server_share_its_roles(own_server, connect):
    urls = [own_server.url(f"app_{number}") for number in range(10)]
    admin = connect(own_server.dsn)
    for number in range(10):
        admin.execute(f"CREATE DATABASE app_{number}")
    assert admin.execute("SELECT to_regrole('service_role'), to_regrole('jobtide_worker')").fetchone() == (None, None)
    together = Barrier(10, timeout=60)

    def run(url: str) -> tuple[str, ...]:
        together.wait()
        return apply(url, roles=True).done

    with ThreadPoolExecutor(10) as pool:
        done = list(pool.map(run, urls))
    assert all(CREATED in lines for lines in done)
    roles = admin.execute("SELECT rolname, rolbypassrls, rolcanlogin FROM pg_roles WHERE oid >= 16384 ORDER BY 1")
    assert roles.fetchall() == [
        ("anon", False, False),
        ("authenticated", False, False),
        ("jobtide_controller", False, False),
        ("jobtide_operator", False, False),
        ("jobtide_worker", False, False),
        ("service_role", True, False),
    ]


def test_a_second_apply_waits_for_the_first_and_then_gives_up_with_the_reason(database, connect):
    holder = connect()
    holder.execute("SELECT pg_advisory_lock(x'6A6F6274696465'::bigint)")
    with pytest.raises(SchemaError, match=r"another jobtide schema apply has been running for 0\.1 s"):
        apply(database, wait_seconds=0.1)


@pytest.mark.parametrize("name", INDEXES)
def test_a_missing_index_is_built_on_a_full_table_without_blocking_writers(database, connect, tenant, name):
    tenant_id = tenant()
    conn, writer = connect(), connect()
    _fill(conn, tenant_id, 1000)
    conn.execute(f"DROP INDEX {name}")
    # A row lock for the whole test: a build that is not CONCURRENTLY would wait for it, and writers for the build.
    written = []

    def report(_: str) -> None:
        writer.execute("SET lock_timeout = '2s'")
        written.append(writer.execute("INSERT INTO job_queue (tenant_id, type) VALUES (%s, 'u')", [tenant_id]).rowcount)

    applied = apply(database, report=report)
    assert applied.done == (f"created index {name}",)
    assert written == [1]
    assert check(conn) == ()


def test_writers_continue_while_an_index_waits_for_an_old_transaction(database, connect, tenant, wait_until):
    tenant_id = tenant()
    admin, old = connect(), connect(autocommit=False)
    admin.execute("DROP INDEX idx_job_queue_due")
    old.execute("INSERT INTO job_queue (tenant_id, type) VALUES (%s, 'old')", [tenant_id])
    with ThreadPoolExecutor(1) as pool:
        applying = pool.submit(apply, database)
        wait_until(lambda: admin.execute("SELECT true FROM pg_stat_progress_create_index").fetchone())
        admin.execute("SET lock_timeout = '2s'")
        assert admin.execute("INSERT INTO job_queue (tenant_id, type) VALUES (%s, 'new')", [tenant_id]).rowcount == 1
        assert not applying.done()
        old.rollback()
        assert applying.result(timeout=30).done == ("created index idx_job_queue_due",)


def test_the_invalid_remains_of_an_interrupted_build_are_rebuilt(database, connect, tenant):
    conn = connect()
    _leave_invalid_index(connect, tenant(), "idx_job_queue_due")
    (problem,) = check(conn)
    assert problem.kind is ProblemKind.INDEX_MISSING
    assert not problem.fatal
    assert "idx_job_queue_due is invalid" in problem.message
    assert apply(database).done == ("rebuilt invalid index idx_job_queue_due",)
    assert check(conn) == ()


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("idx_job_queue_due", "(worker_id)"),
        ("idx_job_queue_running", "(type, tenant_id, status) WHERE status = 'pending'"),
        ("idx_job_queue_running", "(type, tenant_id, status) WHERE status = 'processing'"),  # forged rows are in it
    ],
    ids=["other columns", "other rows", "more rows"],
)
def test_another_index_of_that_name_is_reported_and_not_changed(database, connect, schema_of, name, definition):
    connect().execute(f"DROP INDEX {name}; CREATE INDEX {name} ON job_queue {definition}")
    before = schema_of(database)
    applied = apply(database)
    assert applied.done == ()
    assert [problem.kind for problem in applied.warnings] == [ProblemKind.INDEX_MISSING]
    assert f"not the expected one (CREATE INDEX {name}" in applied.warnings[0].message
    assert schema_of(database) == before


def test_a_lock_that_does_not_come_in_time_changes_nothing(empty_database, connect, schema_of):
    admin, holder = connect(empty_database), connect(empty_database, autocommit=False)
    admin.execute("CREATE TABLE tenants (id uuid PRIMARY KEY)")
    before = schema_of(empty_database)
    holder.execute("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE")
    with pytest.raises(SchemaError, match=r"nothing was changed: could not get a lock within 0\.1 s"):
        apply(empty_database, lock_timeout_seconds=0.1)
    holder.rollback()
    assert schema_of(empty_database) == before


def test_without_the_right_to_create_it_prints_the_sql_for_a_role_that_has_it(
    empty_database, as_role, schema_of, psql, connect
):
    before = schema_of(empty_database)
    with pytest.raises(SchemaError, match="lacks a right") as refused:
        apply(as_role(empty_database))
    assert schema_of(empty_database) == before
    _, _, text = str(refused.value).partition("\n")
    psql(empty_database, text)
    assert check(connect(empty_database)) == ()


def test_without_the_right_to_index_it_prints_the_one_statement(database, as_role, connect):
    conn = connect()
    conn.execute("DROP INDEX idx_job_queue_due")
    with pytest.raises(SchemaError, match="may not create index idx_job_queue_due") as refused:
        apply(as_role(database))
    conn.execute(str(refused.value).partition("Have the table's owner run: ")[2])
    assert check(conn) == ()


def test_a_standby_is_refused_with_the_reason(own_server, own_database, connect):
    own_server.become_standby()
    with pytest.raises(SchemaError, match="is a standby: apply on the primary"):
        apply(own_database)


def test_an_apply_killed_at_any_statement_leaves_nothing_or_what_the_next_completes(
    empty_database, server, connect, schema_of, database, wait_until
):
    """The server ends the session while it waits for a lock inside its transaction."""
    admin, holder = connect(empty_database), connect(empty_database, autocommit=False)
    admin.execute("CREATE TABLE tenants (id uuid PRIMARY KEY)")
    before = schema_of(empty_database)
    holder.execute("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE")
    with ThreadPoolExecutor(1) as pool:
        applying = pool.submit(apply, empty_database, lock_timeout_seconds=30)
        blocked = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        (pid,) = wait_until(lambda: admin.execute(blocked).fetchone())
        admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        with pytest.raises(psycopg.OperationalError):
            applying.result(timeout=30)
    holder.rollback()
    assert schema_of(empty_database) == before
    assert apply(empty_database).done == (CREATED, WAKES)


def _fill(conn, tenant_id, jobs: int) -> None:
    conn.execute(
        "INSERT INTO job_queue (tenant_id, type) SELECT %s, 't' FROM generate_series(1, %s)", [tenant_id, jobs]
    )


def _leave_invalid_index(connect, tenant_id, name: str) -> None:
    """An old transaction makes CREATE INDEX CONCURRENTLY wait until it is cancelled."""
    admin, old = connect(), connect(autocommit=False)
    definition = admin.execute("SELECT pg_get_indexdef(%s::regclass)", [name]).fetchone()[0]
    admin.execute(f"DROP INDEX {name}")
    old.execute("INSERT INTO job_queue (tenant_id, type) VALUES (%s, 't')", [tenant_id])
    admin.execute("SET lock_timeout = '50ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        admin.execute(definition.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY"))
    old.rollback()
