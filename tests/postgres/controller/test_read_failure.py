"""Every way in which a real server can fail a reading: each is a value that names the cause, and recovers by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import sql

from dev.postgres.server import Server
from jobtide.schema import apply
from jobtide_controller.decide.reading import Reading, Unreadable, UnreadableReason
from jobtide_controller.loop.ports import RescueFailedError
from jobtide_controller.postgres.database import Database
from jobtide_controller.postgres.readings import Limits, Reader

MAX_CONNECTIONS = 8
POD = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def login(app) -> Callable[..., str]:
    """login(member_of=..., password=...): the name of a new role."""

    def new(*, member_of: str | None = None, password: str | None = None, limit: int = -1) -> str:
        name = f"role_{uuid.uuid4().hex}"
        app.execute(
            sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT {} PASSWORD {}").format(
                sql.Identifier(name), sql.Literal(limit), sql.Literal(password)
            )
        )
        if member_of:
            app.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(member_of), sql.Identifier(name)))
        return name

    return new


@pytest.fixture(scope="module")
def locked_server(server: Server) -> Iterator[Server]:
    with Server(version=server.version, password="right p@ss") as running:
        yield running


@pytest.fixture(scope="module")
def full_server(server: Server) -> Iterator[Server]:
    with Server(version=server.version, settings={"max_connections": str(MAX_CONNECTIONS)}) as running:
        apply(running.dsn, roles=True)
        with psycopg.connect(running.dsn, autocommit=True) as admin:
            admin.execute("CREATE ROLE controller LOGIN IN ROLE jobtide_controller")
        yield running


@pytest.fixture
def rotate(locked_server: Server) -> Callable[[str], str]:
    """rotate(password): the URL of a role that has this password from now on; its open connections are cut."""
    role = f"rotated_{uuid.uuid4().hex}"
    with psycopg.connect(locked_server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {role}")
        apply(locked_server.url(role), roles=True)
        admin.execute(f"CREATE ROLE {role} LOGIN IN ROLE jobtide_controller")

    def change(password: str) -> str:
        with psycopg.connect(locked_server.dsn, autocommit=True) as admin:
            admin.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
            admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", [role])
        return locked_server.url(role, user=role, password=password)

    return change


def as_role(url: str, role: str) -> str:
    assert "postgres@" in url
    return url.replace("postgres@", f"{role}@", 1)


def unreadable(answer: object) -> Unreadable:
    assert isinstance(answer, Unreadable), answer
    return answer


def is_readable(reader: Reader) -> bool:
    return isinstance(reader.read(["a"]), Reading)


def test_a_database_without_a_url_says_what_to_do(new_reader, database, urls):
    reader = new_reader(database)
    (urls.folder / "main" / "url").rename(urls.folder / "main" / "elsewhere")
    answer = unreadable(reader.read(["a"]))
    assert answer.reason is UnreadableReason.NOT_CONFIGURED
    assert '"main"' in answer.message
    assert "add it to `databases`" in answer.message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql://user:s3cret@[::1/db",
        "user s3cret host",
        "postgresql+psycopg2://w:s3cret@h/q",
        "'postgresql://w:s3cret@h/q'",
        "postgresql://w:s3cret%@h/q",
        "postgresql://w:s3cret x@h/q",
        "postgres//app:s3cret@h/q",
        "postgresql://u:p@s3cret@host/q",
        "postgresql://u:12/s3cret@host/q",
        "postgresql://w:s3cret@h/q?pgbouncer=true",
    ],
    ids=repr,
)
def test_a_secret_without_a_valid_url_is_reported_but_not_quoted(new_reader, url):
    answer = unreadable(new_reader(url).read(["a"]))
    assert answer.reason is UnreadableReason.NOT_CONFIGURED
    assert "s3cret" not in answer.message


async def test_a_rescue_with_a_malformed_url_does_not_quote_it(urls, configure):
    configure("postgresql://u:p@s3cret@host/q")
    database = Database("main", urls, Limits())
    with pytest.raises(RescueFailedError, match="no PostgreSQL URL") as failed:
        await database.rescue({POD: True})
    assert "s3cret" not in str(failed.value)
    database.close()


def test_a_server_that_is_down_at_start_is_unreachable_until_it_is_up(new_reader, own_server, own_database):
    own_server.stop()
    reader = new_reader(own_database)
    first = unreadable(reader.read(["a"]))
    assert first.reason is UnreadableReason.UNREACHABLE
    assert "refused" in first.message
    assert unreadable(reader.read(["a"])).since == first.since, "one outage has one beginning"
    own_server.start()
    assert isinstance(reader.read(["a"]), Reading)


def test_a_server_that_crashes_later_is_unreachable_until_it_is_back(new_reader, own_server, own_database):
    reader = new_reader(own_database)
    assert isinstance(reader.read(["a"]), Reading)
    own_server.stop("immediate")
    assert unreadable(reader.read(["a"])).reason is UnreadableReason.UNREACHABLE
    own_server.start()
    assert isinstance(reader.read(["a"]), Reading)


def test_a_wrong_password_is_an_auth_failure_without_the_password(new_reader, locked_server):
    answer = unreadable(new_reader(locked_server.url(password="s3cret")).read(["a"]))
    assert answer.reason is UnreadableReason.AUTH_FAILED
    assert "authentication failed" in answer.message
    assert "s3cret" not in answer.message


def test_a_rotated_password_is_used_at_once_without_a_restart(new_reader, locked_server, configure):
    reader = new_reader(locked_server.url(password="wrong"))
    assert unreadable(reader.read(["a"])).reason is UnreadableReason.AUTH_FAILED
    configure(locked_server.url())
    assert unreadable(reader.read(["a"])).reason is UnreadableReason.TABLE_MISSING, (
        "logged in, and looked for the table"
    )


def test_a_password_is_rotated_under_a_running_reader_by_the_swap_of_a_mounted_secret(reading_from, rotate, mount):
    reader = reading_from(mount(rotate("first")))
    assert isinstance(reader.read(["a"]), Reading)
    renewed = rotate("second")
    # Its connection was cut: it may find that out before a reading or by one.
    assert unreadable(reader.read(["a"])).reason in {UnreadableReason.UNREACHABLE, UnreadableReason.AUTH_FAILED}
    assert unreadable(reader.read(["a"])).reason is UnreadableReason.AUTH_FAILED
    mount(renewed)
    assert isinstance(reader.read(["a"]), Reading)


def test_another_url_ends_the_connection_to_the_old_one(new_reader, database, own_database, configure):
    reader = new_reader(database)
    assert isinstance(reader.read(["a"]), Reading)
    configure(own_database)
    assert isinstance(reader.read(["a"]), Reading)
    row = reader.session.connect().execute("SELECT current_database() AS name").fetchone()
    assert row == {"name": "main"}


def test_a_server_without_tls_is_a_tls_failure_where_the_url_demands_it(new_reader, database):
    answer = unreadable(new_reader(f"{database}?sslmode=require").read(["a"]))
    assert answer.reason is UnreadableReason.TLS_FAILED
    assert "SSL" in answer.message


def test_a_role_at_its_connection_limit_is_too_many_connections(new_reader, database, login, connect, wait_until):
    url = as_role(database, login(member_of="jobtide_controller", limit=1))
    reader = new_reader(url)
    with connect(url):
        assert unreadable(reader.read(["a"])).reason is UnreadableReason.TOO_MANY_CONNECTIONS
    wait_until(lambda: is_readable(reader))  # the backend of a closed connection counts until it has ended


def test_a_server_at_its_connection_limit_is_too_many_connections(new_reader, full_server, wait_until):
    reader = new_reader(full_server.url(user="controller"))
    with ExitStack() as held:
        for _ in range(MAX_CONNECTIONS):
            held.enter_context(psycopg.connect(full_server.dsn))
        assert unreadable(reader.read(["a"])).reason is UnreadableReason.TOO_MANY_CONNECTIONS
    wait_until(lambda: is_readable(reader))


def test_a_statement_that_waits_for_a_lock_ends_in_time(new_reader, database, connect):
    reader = new_reader(database, statement_seconds=0.2)
    assert isinstance(reader.read(["a"]), Reading)
    blocker = connect(autocommit=False)
    blocker.execute("LOCK TABLE job_queue IN ACCESS EXCLUSIVE MODE")
    answer = unreadable(reader.read(["a"]))
    assert answer.reason is UnreadableReason.TIMEOUT
    assert "statement timeout" in answer.message
    blocker.rollback()
    assert isinstance(reader.read(["a"]), Reading)


def test_a_missing_table_says_what_to_run(new_reader, empty_database):
    reader = new_reader(empty_database)
    answer = unreadable(reader.read(["a"]))
    assert answer.reason is UnreadableReason.TABLE_MISSING
    assert "jobtide schema apply" in answer.message
    apply(empty_database, roles=True)
    assert isinstance(reader.read(["a"]), Reading)


def test_a_table_that_is_dropped_later_is_missing(reader, app):
    assert isinstance(reader.read(["a"]), Reading)
    app.execute("ALTER TABLE job_queue RENAME TO job_queue_old")
    assert unreadable(reader.read(["a"])).reason is UnreadableReason.TABLE_MISSING
    app.execute("ALTER TABLE job_queue_old RENAME TO job_queue")
    assert isinstance(reader.read(["a"]), Reading)


def test_a_missing_grant_is_named(new_reader, database, login, app):
    role = login()
    reader = new_reader(as_role(database, role))
    answer = unreadable(reader.read(["a"]))
    assert answer.reason is UnreadableReason.GRANT_MISSING
    assert "SELECT" in answer.message
    app.execute(sql.SQL("GRANT jobtide_controller TO {}").format(sql.Identifier(role)))
    assert isinstance(reader.read(["a"]), Reading)


def test_a_role_from_which_rls_hides_rows_is_unreadable_not_idle(new_reader, database, login, app, insert):
    insert("a")
    role = login()
    app.execute(sql.SQL("GRANT SELECT, UPDATE ON job_queue TO {}").format(sql.Identifier(role)))
    reader = new_reader(as_role(database, role))
    answer = unreadable(reader.read(["a"]))
    assert answer.reason is UnreadableReason.RLS_HIDES_ROWS
    assert role in answer.message
    app.execute(sql.SQL("GRANT jobtide_controller TO {}").format(sql.Identifier(role)))
    assert isinstance(reader.read(["a"]), Reading)


def test_a_column_of_another_type_is_named(new_reader, empty_database, connect):
    with connect(empty_database) as conn:
        conn.execute("CREATE TABLE job_queue (id int PRIMARY KEY, type text, status text)")
    answer = unreadable(new_reader(empty_database).read(["a"]))
    assert answer.reason is UnreadableReason.SCHEMA_WRONG
    assert "job_queue" in answer.message


def test_a_standby_is_refused_until_it_is_promoted(new_reader, own_server, own_database):
    own_server.become_standby()
    reader = new_reader(own_database)
    assert unreadable(reader.read(["a"])).reason is UnreadableReason.STANDBY
    own_server.promote()
    assert isinstance(reader.read(["a"]), Reading)


def test_a_database_that_does_not_exist_is_reported_in_the_servers_words(new_reader, server):
    answer = unreadable(new_reader(server.url("nowhere")).read(["a"]))
    assert answer.reason is UnreadableReason.UNREACHABLE
    assert 'database "nowhere" does not exist' in answer.message


def test_a_missing_index_is_a_warning_with_the_statement_to_run(reader, app):
    app.execute("DROP INDEX idx_job_queue_due")
    assert isinstance(reader.read(["a"]), Reading)
    assert "CREATE INDEX" in reader.warnings[0]


async def test_a_server_that_hangs_is_cut_off_and_comes_back(urls, configure, own_server, own_database):
    configure(own_database)
    database = Database("main", urls, Limits(statement_seconds=0.2), grace_seconds=0.3)
    assert isinstance(await database.read(["a"], {}), Reading)
    with psycopg.connect(own_database) as admin:
        (backend,) = admin.execute(
            "SELECT pid FROM pg_stat_activity WHERE starts_with(application_name, 'jobtide-controller/')"
        ).fetchone()
    os.kill(backend, signal.SIGSTOP)
    try:
        answer = unreadable(await database.read(["a"], {}))
    finally:
        os.kill(backend, signal.SIGCONT)
    assert answer.reason is UnreadableReason.TIMEOUT
    for _ in range(1000):
        if isinstance(await database.read(["a"], {}), Reading):
            break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("the database works, but no reading succeeded")
    database.close()
