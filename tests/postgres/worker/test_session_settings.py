"""No setting of a role or database changes what Jobtide stores or reads: worker, controller, schema and producers."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from sqlalchemy.pool import NullPool

from dev.postgres.pgbouncer import PgBouncer
from jobtide import Tide, enqueue, enqueue_async
from jobtide.__main__ import main
from jobtide.context import Context
from jobtide.cron.scheduler import Scheduler
from jobtide.job import End
from jobtide.queue.caps import NO_CAPS, TenantCaps
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import DatabaseUnreachable, Session
from jobtide.schema import SchemaError, apply, check
from jobtide.testing import drain, enqueued
from jobtide_controller.decide.reading import Key, Reading, Unreadable, UnreadableReason
from jobtide_controller.postgres.readings import Limits, Reader
from jobtide_controller.postgres.rescue import rescue
from jobtide_controller.postgres.urls import DatabaseUrls
from tests.postgres.worker.test_enqueue import django_door

SETTINGS = {
    "DateStyle": ["German", "SQL, DMY", "Postgres, MDY"],
    "IntervalStyle": ["sql_standard"],
    "TimeZone": ["<-05:30>5:30", "Asia/Kathmandu"],
    "client_encoding": ["LATIN1", "SQL_ASCII", "WIN1252"],
    "array_nulls": ["off"],
    "extra_float_digits": ["-15"],
    "bytea_output": ["escape"],
    "default_transaction_isolation": ["serializable", "repeatable read"],
    "row_security": ["off"],
    "standard_conforming_strings": ["off"],
    "transform_null_equals": ["on"],
    "quote_all_identifiers": ["on"],
}
HOSTILE = [pytest.param(name, value, id=f"{name}={value}") for name, values in SETTINGS.items() for value in values]
TEXT = "é€😀\u2028\\u0041"
POD = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def pooler(server):
    with PgBouncer(server=server) as running:
        yield running


@pytest.fixture
def look(database):
    """look(query, *parameters): the rows, on a connection with the usual settings."""
    usual = "-c DateStyle=ISO -c array_nulls=on -c TimeZone=UTC -c extra_float_digits=1 -c row_security=on"
    with psycopg.connect(make_conninfo(database, options=usual), client_encoding="UTF8", autocommit=True) as connection:
        yield lambda query, *parameters: connection.execute(query, parameters).fetchall()


@pytest.fixture
def owner(look):
    return look("INSERT INTO tenants DEFAULT VALUES RETURNING id")[0][0]


@pytest.fixture
def as_login(database, connect, names):
    """as_login(group, name, value): the URL of a new login in that group, whose role has this setting."""

    def new(group, name, value):
        login = f"{next(names)}_login"
        with connect() as admin:
            admin.execute(f"CREATE ROLE {login} LOGIN IN ROLE {group}")
            admin.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(*map(sql.Identifier, (login, name)), value))
        return make_conninfo(database, user=login)

    return new


@pytest.fixture
def hostile_database(database, connect):
    """hostile_database(name, value): the setting, for every new connection to the test's database."""

    def change(name, value):
        dbname = conninfo_to_dict(database)["dbname"]
        with connect() as admin:
            admin.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(*map(sql.Identifier, (dbname, name)), value))

    return change


@contextmanager
def queue_on(url, *, caps=NO_CAPS):
    queue = PostgresJobQueue(Session(lambda: url), pod_uid=POD, lease_seconds=60, caps=caps)
    try:
        yield queue
    finally:
        queue.close()


@contextmanager
def reader_on(url, tmp_path):
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "url").write_text(url)
    reader = Reader("main", DatabaseUrls(tmp_path), Limits())
    try:
        yield reader
    finally:
        reader.session.close()


def assert_a_worker_claims_and_ends(url, owner, look):
    """All statements of a worker: claims with and without caps, ends, extensions, rescues, a cron slot."""
    ids = [
        look("INSERT INTO job_queue (tenant_id, type, payload) VALUES (%s, %s, %s) RETURNING id",
             owner, TEXT, json.dumps({"text": TEXT, "n": n}))[0][0]
        for n in range(4)
    ]  # fmt: skip
    with queue_on(url, caps=TenantCaps(2)) as queue:
        capped = queue.claim(Ring((TEXT,)), 4, 4).jobs
        assert len(capped) == 2
        queue.finish([End(job, "completed", json.dumps(job.payload)) for job in capped])
    with queue_on(url) as queue:
        claim = queue.claim(Ring((TEXT,)), 4, 1)
        jobs = claim.jobs + queue.claim(claim.ring, 4, 1).jobs
        assert [job.payload for job in jobs] == [{"text": TEXT, "n": 2}, {"text": TEXT, "n": 3}]
        assert all(0 <= job.waited_seconds < 60 for job in jobs)
        context = Context(jobs[0])
        context.progress(0.5, TEXT)
        assert queue.extend([context, Context(jobs[1])]) == {job.id for job in jobs}
        ends = [
            End(jobs[0], "completed", json.dumps({"said": TEXT}, ensure_ascii=False)),
            End(jobs[1], "pending", delay_seconds=7.25),
        ]
        assert queue.finish(ends) == set(ids[2:])
        assert queue.confirm(ends) == set(ids[2:])
    assert look("SELECT result FROM job_queue WHERE id = %s", ids[2]) == [({"said": TEXT},)]
    ((status, result, delay),) = look(
        "SELECT status::text, result, extract(EPOCH FROM next_retry_at - now()) FROM job_queue WHERE id = %s", ids[3]
    )
    assert (status, result) == ("pending", {})
    assert 0 < delay < 7.25
    assert_low_water_marks_are_exact(url, owner, look)
    look("UPDATE job_queue SET status = 'processing', worker_id = %s, next_retry_at = now() - interval '1 s' "
         "WHERE id = %s RETURNING id", f"jobtide:{POD}:1", ids[3])  # fmt: skip
    with queue_on(url) as queue:
        assert [job.id for job in queue.rescue_expired(10)] == [ids[3]]
    tide = Tide()
    tide.cron("0 3 1 1 *", TEXT, payload={"text": TEXT}, tenant_id=owner)(lambda payload: payload)
    emitted = []
    Scheduler(tide.schedules, Session(lambda: url), emitted.append).run_once(datetime.now(UTC))
    assert emitted == []
    slot = datetime(datetime.now(UTC).year + 1, 1, 1, 3, tzinfo=UTC)
    assert look("SELECT payload FROM job_queue WHERE next_retry_at = %s", slot) == [({"text": TEXT},)]


def assert_low_water_marks_are_exact(url, owner, look):
    """A claim that starts at a mark gets the job right after it: the mark is exact to the microsecond."""
    look("INSERT INTO job_queue (tenant_id, type, created_at) "
         "SELECT %s, 'marked', timestamptz '2026-11-24 12:00:00.123456+00' + n * interval '1 microsecond' "
         "FROM generate_series(1, 1002) AS n RETURNING id", owner)  # fmt: skip
    ring = Ring(("marked",))
    with queue_on(url) as queue:
        claimed = [len(queue.claim(ring, 334, 334).jobs) for _ in range(4)]
    assert claimed == [334, 334, 334, 0]


def assert_the_controller_reads_and_rescues(url, owner, look, tmp_path):
    look("DELETE FROM job_queue RETURNING id")
    look("INSERT INTO job_queue (tenant_id, type, created_at) "
         "VALUES (%s, %s, now() - interval '90.5 s') RETURNING id", owner, TEXT)  # fmt: skip
    look("INSERT INTO job_queue (tenant_id, type, next_retry_at) "
         "VALUES (%s, %s, now() + interval '90.5 s') RETURNING id", owner, TEXT)  # fmt: skip
    look("INSERT INTO job_queue (tenant_id, type, status, worker_id, attempts, next_retry_at) "
         "VALUES (%s, %s, 'processing', %s, 1, now() + interval '60 s') RETURNING id",
         owner, TEXT, f"jobtide:{POD}:1")  # fmt: skip
    with reader_on(url, tmp_path) as reader:
        reading = reader.read([TEXT])
        assert isinstance(reading, Reading), reading
        depth = reading.depths[Key(TEXT, str(owner))]
        assert (depth.due, depth.later, depth.running) == (1, 1, 1)
        assert 90.5 <= depth.oldest_age_seconds < 100
        assert abs(reading.taken_at + 90.5 - depth.next_due_at) < 9
        assert reading.pods[POD].jobs == 1
        again = reader.read([TEXT])
        assert isinstance(again, Reading), again
        assert again.taken_at > reading.taken_at, "to the microsecond"
        assert rescue(reader.session, {POD: False}) == {POD: 1}


def assert_jobs_are_enqueued_by_every_library(url, look, owner, encoding):
    url = "postgresql://{user}@{host}:{port}/{dbname}".format(**conninfo_to_dict(url))
    due = datetime(2031, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    with psycopg.connect(url) as connection:
        enqueue(connection, TEXT, {"by": "psycopg", "text": TEXT}, tenant_id=owner, run_at=due, unique=TEXT)
    libraries = {"asyncpg", "django", "psycopg"}
    if encoding != "SQL_ASCII":  # with which SQLAlchemy does not connect
        libraries.add("sqlalchemy")
        engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
        with engine.begin() as connection:
            enqueue(connection, TEXT, {"by": "sqlalchemy", "text": TEXT}, tenant_id=owner, run_at=due)
    with django_door(url) as (connection, commit, _):
        enqueue(connection, TEXT, {"by": "django", "text": TEXT}, tenant_id=owner, run_at=due)
        commit()

    async def by_asyncpg():
        connection = await asyncpg.connect(url, statement_cache_size=0)
        try:
            await enqueue_async(connection, TEXT, {"by": "asyncpg", "text": TEXT}, tenant_id=owner, run_at=due)
        finally:
            await connection.close()

    asyncio.run(by_asyncpg())
    rows = look("SELECT payload ->> 'by', payload ->> 'text', next_retry_at FROM job_queue WHERE type = %s", TEXT)
    assert sorted(rows) == [(by, TEXT, due) for by in sorted(libraries)]


@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_a_worker_is_right_under_any_setting_of_its_role(as_login, owner, look, name, value):
    assert_a_worker_claims_and_ends(as_login("jobtide_worker", name, value), owner, look)


@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_a_worker_is_right_under_any_setting_behind_a_pooler(
    pooler, database, hostile_database, owner, look, name, value
):
    hostile_database(name, value)
    assert_a_worker_claims_and_ends(pooler.url(conninfo_to_dict(database)["dbname"]), owner, look)


@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_the_controller_is_right_under_any_setting_of_its_role(as_login, owner, look, tmp_path, name, value):
    assert_the_controller_reads_and_rescues(as_login("jobtide_controller", name, value), owner, look, tmp_path)


@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_the_controller_is_right_under_any_setting_behind_a_pooler(
    pooler, database, hostile_database, owner, look, tmp_path, name, value
):
    hostile_database(name, value)
    url = pooler.url(conninfo_to_dict(database)["dbname"])
    assert_the_controller_reads_and_rescues(url, owner, look, tmp_path)


@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_producers_store_what_they_were_given_under_any_setting(database, hostile_database, owner, look, name, value):
    hostile_database(name, value)
    assert_jobs_are_enqueued_by_every_library(database, look, owner, value)


@pytest.mark.parametrize(
    ("name", "value"), [*HOSTILE, pytest.param("statement_timeout", "40", id="statement_timeout=40")]
)
def test_apply_makes_the_same_table_under_any_setting(empty_database, connect, name, value):
    dbname = conninfo_to_dict(empty_database)["dbname"]
    with connect() as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(*map(sql.Identifier, (dbname, name)), value))
    apply(empty_database, roles=True)
    assert apply(empty_database, roles=True).warnings == ()
    with psycopg.connect(empty_database, autocommit=True) as connection:
        assert check(connection) == check(connection, "controller") == ()


@pytest.mark.parametrize("value", ["German", "SQL, DMY"])
def test_a_worker_process_runs_jobs_to_their_end(worker, hostile_database, look, owner, wait_until, value):
    hostile_database("DateStyle", value)
    look(
        "INSERT INTO job_queue (tenant_id, type, payload) VALUES (%s, 'echo', %s) RETURNING id", owner, json.dumps(TEXT)
    )
    process = worker()
    wait_until(lambda: look("SELECT status::text, attempts, result FROM job_queue") == [("completed", 1, TEXT)])
    assert process.popen.poll() is None


@pytest.mark.parametrize("value", ["German", "SQL, DMY"])
def test_the_testing_helpers_work_on_a_callers_connection(database, hostile_database, look, owner, value):
    hostile_database("DateStyle", value)
    tide = Tide()
    tide.job("echo")(lambda payload: payload)
    due = datetime.now(UTC) + timedelta(days=1)
    with psycopg.connect(database) as connection:
        enqueue(connection, "echo", TEXT, tenant_id=owner)
        assert [ended.result for ended in drain(connection, tide)] == [TEXT]
        enqueue(connection, "echo", TEXT, tenant_id=owner, run_at=due)
        assert [job.not_before for job in enqueued(connection, "echo")] == [due]


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def foreign(request, server, names):
    """A database in another encoding, with the table as an older version made it there."""
    name = next(names)
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{request.param}' LOCALE 'C'")
        yield request.param, server.url(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_in_another_encoding_is_refused_by_every_part(foreign, tmp_path, capsys):
    encoding, url = foreign
    words = f"has the encoding {encoding}"
    with pytest.raises(SchemaError, match=words):
        apply(url)
    assert main(["schema", "check", "--database-url", url]) == 1
    assert words in capsys.readouterr().out
    with reader_on(url, tmp_path) as reader:
        answer = reader.read(["a"])
    assert isinstance(answer, Unreadable)
    assert (answer.reason, words in answer.message) == (UnreadableReason.SCHEMA_WRONG, True)


def test_a_worker_exits_with_a_sentence_in_a_database_in_another_encoding(worker, foreign):
    encoding, url = foreign
    process = worker(JOBTIDE_DATABASE_URL=url)
    assert process.popen.wait(60) == 1
    assert process.logged(f"has the encoding {encoding}")


def test_a_read_only_session_is_named_and_ends_when_the_setting_does(
    worker, database, hostile_database, connect, look, owner, wait_until
):
    hostile_database("default_transaction_read_only", "on")
    process = worker()
    wait_until(lambda: process.logged("database read-only, can't claim"))
    assert process.logged("default_transaction_read_only is on")
    assert not process.logged("unreachable")
    with connect(make_conninfo(database, options="-c default_transaction_read_only=off")) as admin:
        admin.execute(f"ALTER DATABASE {conninfo_to_dict(database)['dbname']} RESET default_transaction_read_only")
        admin.execute("INSERT INTO job_queue (tenant_id, type) SELECT id, 'echo' FROM tenants")
    wait_until(lambda: process.logged("database back, can claim again"))


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_every_statement_of_a_worker_reads_committed_rows(pooler, database, as_login, hostile_database, level):
    url = as_login("jobtide_worker", "default_transaction_isolation", level)
    hostile_database("default_transaction_isolation", level)
    for each in (url, pooler.url(conninfo_to_dict(database)["dbname"])):
        session = Session(lambda each=each: each)
        statement = "SELECT current_setting('transaction_isolation') AS level, %(n)s::int AS n"
        assert session.execute(statement, {"n": 1}) == [{"level": "read committed", "n": 1}]
        with session.transaction() as execute:
            assert execute(statement, {"n": 2}) == [{"level": "read committed", "n": 2}]
        session.close()


def test_a_setting_that_another_client_leaves_on_a_pooled_connection_is_noticed_at_connect(
    pooler, database, owner, look
):
    url = pooler.url(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(url, autocommit=True, prepare_threshold=None, row_factory=dict_row) as other:
        for _ in range(3):
            other.execute("SET array_nulls = off")
    assert_a_worker_claims_and_ends(url, owner, look)


def test_the_pins_leave_nothing_on_a_pooled_connection(pooler, database, hostile_database, owner, look):
    hostile_database("array_nulls", "off")
    url = pooler.url(conninfo_to_dict(database)["dbname"])
    with queue_on(url) as queue:
        queue.claim(Ring(("a", "b")), 1, 1)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as other:
        assert {other.execute("SHOW array_nulls").fetchone() for _ in range(5)} == {("off",)}


def test_an_unknown_host_is_an_outage_and_not_a_wrong_setting():
    session = Session(lambda: f"postgresql://{uuid4().hex}.invalid/q")
    with pytest.raises(DatabaseUnreachable):
        session.connection()
