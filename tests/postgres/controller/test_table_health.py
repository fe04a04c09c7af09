"""The controller looks at the health of the table with its own role, which sees little of other roles' sessions."""

from __future__ import annotations

import struct
import threading
import uuid
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import psycopg
import pytest
from psycopg import pq

from jobtide.table_health import Holder, judge
from jobtide_controller.loop.ports import LookFailedError
from jobtide_controller.postgres.database import Database
from jobtide_controller.postgres.readings import Limits
from tests.pages import OPERATIONS, shown


@pytest.fixture
def log_in(configure, urls):
    """log_in(url): the controller's Database, as a member of its group."""

    @contextmanager
    def opened(url):
        name = f"controller_{uuid.uuid4().hex}"
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE {name} LOGIN IN ROLE jobtide_controller")
        configure(url.replace("postgres@", f"{name}@", 1))
        with closing(Database("main", urls, Limits())) as source:
            source.role = name
            yield source

    return opened


@pytest.fixture
def source(log_in, database):
    with log_in(database) as found:
        yield found


@pytest.fixture
def other(connect):
    """A session of another role, in a transaction."""
    return connect(autocommit=False)


def pid(connection):
    return str(connection.info.backend_pid)


def flush(connection):
    """Statistics are sent when a session ends, or at most each second."""
    connection.execute("SELECT pg_stat_force_next_flush()")


SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM job_queue"
WRITE = "INSERT INTO tenants (name) VALUES ('a')"


@pytest.mark.parametrize("statement", [SNAPSHOT, WRITE], ids=["snapshot", "write"])
async def test_an_open_transaction_of_another_role_is_seen_and_its_age_only_by_who_may(
    statement, source, other, connect, wait_until
):
    other.execute(statement)
    (hidden,) = (await source.look_at_table()).holders
    assert (hidden.kind, hidden.name, hidden.seconds) == ("session", pid(other), None)
    connect().execute(f"GRANT pg_read_all_stats TO {source.role}")
    (seen,) = (await source.look_at_table()).holders
    assert seen.seconds is not None
    assert "idle in transaction" in seen.who
    other.rollback()
    assert (await source.look_at_table()).oldest_seconds == 0.0


async def test_transactions_that_hold_nothing_back_are_not_named(source, other, connect, second_empty_database):
    other.execute("SELECT 1 FROM job_queue")  # read committed: its snapshot ended with the statement
    elsewhere = connect(second_empty_database, autocommit=False)
    elsewhere.execute("CREATE TABLE a (b int)")
    assert (await source.look_at_table()).holders == ()


async def test_a_running_vacuum_holds_nothing_back(source, app, tenant, connect, wait_until):
    app.execute(
        "INSERT INTO job_queue (tenant_id, type, payload) SELECT %s, 'a', '{}' FROM generate_series(1, 3000)",
        [tenant()],
    )
    slow = connect()
    slow.execute("SET vacuum_cost_delay = '100ms'; SET vacuum_cost_limit = 1")
    running = threading.Thread(target=_vacuum_until_cancelled, args=(slow,))
    running.start()
    seen = """
        SELECT a.backend_xmin FROM pg_stat_progress_vacuum AS p JOIN pg_stat_activity AS a USING (pid) WHERE a.pid = %s
    """
    try:
        wait_until(lambda: any(row[0] for row in app.execute(seen, [slow.info.backend_pid])))
        assert (await source.look_at_table()).holders == ()
    finally:
        slow.cancel_safe()
        running.join()


def _vacuum_until_cancelled(connection):
    with suppress(psycopg.errors.QueryCanceled):
        connection.execute("VACUUM job_queue")


async def test_the_statement_of_the_page_finds_the_session(source, other, connect):
    other.execute(SNAPSHOT)
    statement = shown(OPERATIONS, "oldest snapshots")
    assert str(connect().execute(statement).fetchone()[0]) == pid(other)
    old = replace(await source.look_at_table(), holders=(Holder("session", pid(other), "733", 5, 900.0),))
    assert judge(old).message.endswith(" ".join(statement.split()).rstrip(";"))


async def test_prepared_transactions_and_replication_slots_are_named(own_server, own_database, log_in, wait_until):
    with psycopg.connect(own_server.dsn, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET max_prepared_transactions = 2")
    own_server.restart()
    with psycopg.connect(own_database, autocommit=True) as admin, log_in(own_database) as source:
        with psycopg.connect(own_database) as writer:
            writer.execute("CREATE TABLE a (b int)")
            writer.execute("PREPARE TRANSACTION 'left by a client'")
        (prepared,) = (await source.look_at_table()).holders
        assert (prepared.kind, prepared.name, prepared.who) == ("prepared", "left by a client", "role postgres")
        assert prepared.seconds > 0
        admin.execute("ROLLBACK PREPARED 'left by a client'")
        admin.execute("SELECT pg_create_physical_replication_slot('standby')")
        with _standby_that_holds(own_server, admin):
            (slot,) = wait_until(lambda: _slots(admin))
            (found,) = (await source.look_at_table()).holders
            assert (found.kind, found.name, found.xid, found.seconds) == ("slot", "standby", slot, None)


async def test_a_standby_without_a_slot_is_not_as_old_as_its_connection(
    own_server, own_database, log_in, connect, wait_until
):
    admin = connect(own_database)
    with log_in(own_database) as source, _standby_that_holds(own_server, admin, slot=""):
        admin.execute(f"GRANT pg_read_all_stats TO {source.role}")
        wait_until(
            lambda: admin.execute(
                "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'walsender' AND backend_xmin IS NOT NULL"
            ).fetchone()
        )
        (found,) = (await source.look_at_table()).holders
        assert (found.kind, found.seconds) == ("session", None)
        assert "active" in found.who, "this role may see since when its statement runs"


def _slots(admin):
    return [row[0] for row in admin.execute("SELECT xmin::text FROM pg_replication_slots WHERE xmin IS NOT NULL")]


@contextmanager
def _standby_that_holds(server, admin, slot="SLOT standby"):
    """What a standby with hot_standby_feedback sends: the oldest transaction that its readers still see."""
    (xid, place) = admin.execute("SELECT txid_current(), pg_current_wal_flush_lsn()").fetchone()
    wire = pq.PGconn.connect(f"{server.dsn}?replication=true".encode())
    started = wire.exec_(f"START_REPLICATION {slot} PHYSICAL {place}".encode())
    assert started.status == pq.ExecStatus.COPY_BOTH, wire.error_message
    try:
        wire.put_copy_data(b"h" + struct.pack("!qIIII", 0, xid, 0, 0, 0))
        wire.flush()
        yield
    finally:
        wire.finish()


async def test_rows_size_and_the_last_vacuum_are_those_of_the_server(source, app, tenant):
    app.execute(
        "ALTER TABLE job_queue SET (autovacuum_enabled = off, autovacuum_vacuum_threshold = 70, "
        "autovacuum_vacuum_scale_factor = 0.5)"
    )
    app.execute(
        "INSERT INTO job_queue (tenant_id, type, payload) SELECT %s, 'a', '{}' FROM generate_series(1, 300)", [tenant()]
    )
    app.execute("UPDATE job_queue SET attempts = 1")
    flush(app)
    found = await source.look_at_table()
    assert (found.live_rows, found.dead_rows, found.vacuum_age_seconds) == (300, 300, None)
    assert found.size_bytes == app.execute("SELECT pg_total_relation_size('job_queue')").fetchone()[0]
    assert (found.switched_off, found.vacuum_at_rows) == ("autovacuum_enabled", 70)
    app.execute("VACUUM job_queue")
    flush(app)
    found = await source.look_at_table()
    assert (found.dead_rows, found.vacuum_at_rows) == (0, 70 + 300 // 2)
    assert found.vacuum_age_seconds is not None
    assert judge(found).reason == "Healthy"


async def test_statistics_that_the_server_lost_are_not_zero(source, app, tenant):
    app.execute("INSERT INTO job_queue (tenant_id, type, payload) VALUES (%s, 'a', '{}')", [tenant()])
    flush(app)
    assert (await source.look_at_table()).live_rows == 1
    app.execute("SELECT pg_stat_reset_single_table_counters('job_queue'::regclass)")
    found = await source.look_at_table()
    assert (found.live_rows, found.dead_rows) == (None, None)


async def test_a_server_that_counts_nothing_says_so(own_server, own_database, log_in):
    with psycopg.connect(own_database, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET track_counts = off")
        admin.execute("SELECT pg_reload_conf()")
    with log_in(own_database) as source:
        found = await source.look_at_table()
    assert (found.live_rows, found.dead_rows, found.switched_off) == (None, None, "track_counts")


async def test_a_locked_table_fails_one_look_and_leaves_no_connection(source, other, app, wait_until):
    other.execute("LOCK job_queue IN ACCESS EXCLUSIVE MODE")
    with pytest.raises(LookFailedError, match="lock timeout"):
        await source.look_at_table()
    other.rollback()
    assert (await source.look_at_table()).size_bytes > 0
    open_ = "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = %s"
    wait_until(lambda: app.execute(open_, [source.role]).fetchone()[0])


async def test_without_a_table_there_is_no_health(source, app):
    app.execute("ALTER TABLE job_queue RENAME TO jobs")
    with pytest.raises(LookFailedError, match="no table job_queue"):
        await source.look_at_table()
