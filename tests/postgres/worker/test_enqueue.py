"""enqueue() through every library's connection: in the caller's transaction, unique while open, exact under races."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from jobtide import NewJob, enqueue, enqueue_async, enqueue_many, enqueue_many_async


@contextmanager
def psycopg_door(url):
    with psycopg.connect(url, row_factory=dict_row) as connection:
        yield connection, connection.commit, connection.rollback
        connection.rollback()


@contextmanager
def sqlalchemy_connection_door(url):
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection, connection.commit, connection.rollback


@contextmanager
def sqlalchemy_session_door(url):
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with Session(engine) as session:
        yield session, session.commit, session.rollback


@contextmanager
def django_door(url, *, autocommit=False):
    import django
    from django.conf import settings
    from django.db import connections
    from django.db.utils import ConnectionHandler

    if not settings.configured:
        settings.configure(USE_TZ=True, LOGGING_CONFIG=None)
        django.setup()
    parts = psycopg.conninfo.conninfo_to_dict(url)
    database = {
        "ENGINE": "django.db.backends.postgresql", "NAME": parts["dbname"], "USER": parts["user"],
        "HOST": parts["host"], "PORT": parts["port"], "AUTOCOMMIT": autocommit,
    }  # fmt: skip
    connections.settings["jobs"] = ConnectionHandler({"default": {}, "jobs": database}).settings["jobs"]
    connection = connections["jobs"]
    try:
        yield connection, connection.commit, connection.rollback
    finally:
        connection.close()
        del connections["jobs"], connections.settings["jobs"]


DOORS = [psycopg_door, sqlalchemy_connection_door, sqlalchemy_session_door, django_door]


@pytest.fixture(params=DOORS, ids=lambda door: door.__name__.removesuffix("_door"))
def door(request, database):
    with request.param(database) as opened:
        yield opened


def test_a_job_exists_if_and_only_if_the_callers_transaction_commits(door, tenant, row):
    connection, commit, rollback = door
    owner = tenant()
    lost = enqueue(connection, "mail.send", {"to": "a"}, tenant_id=owner)
    rollback()
    kept = enqueue(connection, "mail.send", {"to": "%(b)s :c ü"}, tenant_id=str(owner))
    assert row(kept) is None
    commit()
    assert row(lost) is None
    found = row(kept)
    assert (found["tenant_id"], found["type"], found["payload"]) == (owner, "mail.send", {"to": "%(b)s :c ü"})
    assert (str(found["status"]), found["attempts"], found["next_retry_at"]) == ("pending", 0, None)


def test_a_key_has_one_open_job_whatever_the_connection(door, tenant, connect):
    connection, commit, _ = door
    owner = tenant()
    first = enqueue(connection, "sync", {"n": 1}, tenant_id=owner, unique="a")
    assert enqueue(connection, "sync", {"n": 2}, tenant_id=owner, unique="a") is None
    other = enqueue_many(
        connection,
        [NewJob(type="sync", tenant_id=owner, unique=key) for key in ("b", "a", "b")]
        + [NewJob(type="sync", tenant_id=owner)],
    )
    assert [id_ is None for id_ in other] == [False, True, True, False]
    commit()
    ids = {found[0] for found in connect().execute("SELECT id FROM job_queue").fetchall()}
    assert ids == {first, other[0], other[3]}


def test_django_enqueues_inside_and_outside_of_atomic(database, tenant, row):
    from django.db import transaction

    owner = tenant()
    with django_door(database, autocommit=True) as (connection, *_):
        kept = enqueue(connection, "t", tenant_id=owner, unique="k")
        assert row(kept) is not None
        with transaction.atomic(using="jobs"):
            assert enqueue(connection, "t", tenant_id=owner, unique="k") is None
            lost = enqueue(connection, "t", tenant_id=owner, unique="other")
            transaction.set_rollback(True, using="jobs")
    assert row(lost) is None


@pytest.mark.parametrize("dialect", ["psycopg", "asyncpg"])
async def test_an_asynchronous_sqlalchemy_session_enqueues(database, tenant, row, dialect):
    owner = tenant()
    engine = create_async_engine(database.replace("postgresql:", f"postgresql+{dialect}:"), poolclass=NullPool)
    async with AsyncSession(engine) as session:
        kept = await enqueue_async(session, "t", {"a": [1]}, tenant_id=owner, unique="k", after=60)
        assert await enqueue_async(session, "t", tenant_id=owner, unique="k") is None
        assert row(kept) is None
        await session.commit()
    async with engine.connect() as connection:
        (many,) = await enqueue_many_async(connection, [NewJob(type="t", tenant_id=owner)])
        await connection.rollback()
    await engine.dispose()
    assert row(kept)["payload"] == {"a": [1]}
    assert row(many) is None


async def test_asyncpg_enqueues_with_and_without_a_transaction_of_the_callers(database, tenant, row):
    owner = tenant()
    connection = await asyncpg.connect(database)
    kept = await enqueue_async(connection, "t", {"a": 1}, tenant_id=owner, unique="k")
    assert type(kept) is UUID
    transaction = connection.transaction()
    await transaction.start()
    assert await enqueue_async(connection, "t", tenant_id=owner, unique="k") is None
    lost = await enqueue_async(connection, "t", tenant_id=owner)
    await transaction.rollback()
    await connection.close()
    assert row(kept)["payload"] == {"a": 1}
    assert row(lost) is None


@pytest.mark.parametrize("autocommit", [True, False], ids=["autocommit", "transaction"])
async def test_an_asynchronous_psycopg_connection_enqueues(database, tenant, row, autocommit):
    owner = tenant()
    async with await psycopg.AsyncConnection.connect(database, autocommit=autocommit) as connection:
        kept = await enqueue_async(connection, "t", tenant_id=owner, unique="k")
        assert await enqueue_async(connection, "t", tenant_id=owner, unique="k") is None
        assert (row(kept) is not None) is autocommit
        with pytest.raises(TypeError, match="await the function whose name ends in _async"):
            enqueue(connection, "t", tenant_id=owner)
    assert row(kept)["payload"] is None


async def test_a_synchronous_connection_is_refused_by_the_asynchronous_function(connect, tenant):
    with pytest.raises(TypeError, match="call the function without _async"):
        await enqueue_async(connect(), "t", tenant_id=tenant())


def test_a_job_is_due_when_it_was_asked_to_be(connect, tenant, row):
    connection = connect(autocommit=False)
    owner = tenant()
    at = datetime.now(UTC) + timedelta(days=3)
    (begun_at,) = connection.execute("SELECT now(), pg_sleep(0.2)").fetchone()[:1]
    absolute = enqueue(connection, "t", tenant_id=owner, run_at=at)
    relative = enqueue(connection, "t", tenant_id=owner, after=timedelta(hours=1))
    connection.commit()
    assert row(absolute)["next_retry_at"] == at
    # counted from the call, not from the transaction's begin
    assert timedelta(hours=1, seconds=0.2) <= row(relative)["next_retry_at"] - begun_at < timedelta(hours=1, minutes=1)


@pytest.mark.parametrize(
    ("status", "is_open"), [("pending", True), ("processing", True), ("completed", False), ("failed", False)]
)
def test_a_key_is_free_again_once_its_job_has_ended(connect, tenant, row, status, is_open):
    connection = connect()
    owner = tenant()
    first = enqueue(connection, "t", tenant_id=owner, unique="k")
    connection.execute("UPDATE job_queue SET status = %s", [status])
    second = enqueue(connection, "t", tenant_id=owner, unique="k")
    assert (second is None) is is_open
    if second is not None:
        assert second.int == first.int + 1
        assert str(row(second)["status"]) == "pending"


def test_the_same_key_of_another_tenant_or_type_is_another_key(connect, tenant):
    one, two = tenant(), tenant()
    jobs = [("t", one), ("t", two), ("u", one)]
    assert None not in [enqueue(connect(), type_, tenant_id=owner, unique="k") for type_, owner in jobs]


def test_an_id_that_the_caller_chooses_is_inserted_only_once(connect, tenant):
    connection, owner, id_ = connect(), tenant(), uuid4()
    assert enqueue(connection, "t", tenant_id=owner, job_id=id_) == id_
    connection.execute("UPDATE job_queue SET status = 'completed'")
    assert enqueue(connection, "t", tenant_id=owner, job_id=id_) is None


def test_a_second_transaction_with_the_key_waits_for_the_first(connect, tenant, wait_until):
    owner = tenant()
    watcher, holder, waiter = connect(), connect(autocommit=False), connect(autocommit=False)
    assert enqueue(holder, "t", tenant_id=owner, unique="k") is not None
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(enqueue, waiter, "t", tenant_id=owner, unique="k")
        wait_until(lambda: blocked(watcher, waiter))
        holder.commit()
        assert asked.result(10) is None


def test_a_key_whose_transaction_is_rolled_back_goes_to_the_one_that_waited(connect, tenant, wait_until):
    owner = tenant()
    watcher, holder, waiter = connect(), connect(autocommit=False), connect(autocommit=False)
    enqueue(holder, "t", tenant_id=owner, unique="k")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(enqueue, waiter, "t", tenant_id=owner, unique="k")
        wait_until(lambda: blocked(watcher, waiter))
        holder.rollback()
        assert asked.result(10) is not None


def blocked(connection, waiter):
    return connection.execute("SELECT pg_blocking_pids(%s) <> '{}'", [waiter.info.backend_pid]).fetchone()[0]


def test_a_key_is_exact_even_while_its_finished_jobs_are_deleted(connect, tenant, wait_until):
    """Deleting the newest finished job removes the number that the next one continues: the lock decides."""
    owner = tenant()
    admin, holder, waiter = connect(), connect(autocommit=False), connect(autocommit=False)
    first = enqueue(admin, "t", tenant_id=owner, unique="k")
    admin.execute("UPDATE job_queue SET status = 'completed'")
    second = enqueue(holder, "t", tenant_id=owner, unique="k")
    admin.execute("DELETE FROM job_queue WHERE id = %s", [first])
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(enqueue, waiter, "t", tenant_id=owner, unique="k")
        wait_until(lambda: blocked(admin, waiter))
        holder.commit()
        assert asked.result(10) is None
    assert admin.execute("SELECT id FROM job_queue").fetchall() == [(second,)]


def test_a_snapshot_too_old_to_see_the_other_job_ends_in_a_serialization_failure(connect, tenant):
    """REPEATABLE READ can't see the job that the lock guards; the primary key still accepts only one."""
    owner = tenant()
    old = connect(autocommit=False)
    old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    old.execute("SELECT count(*) FROM job_queue")
    enqueue(connect(), "t", tenant_id=owner, unique="k")
    with pytest.raises(psycopg.errors.SerializationFailure):
        enqueue(old, "t", tenant_id=owner, unique="k")


@pytest.mark.parametrize("autocommit", [True, False], ids=["autocommit", "transaction"])
def test_racing_producers_never_open_a_key_twice(database, connect, tenant, autocommit):
    """Eight producers, while jobs end: never two open jobs of one key."""
    owner = tenant()
    ended = threading.Event()
    produced = []

    def produce():
        with psycopg.connect(database, autocommit=autocommit) as connection:
            for _ in range(60):
                produced.append(enqueue(connection, "t", tenant_id=owner, unique="k"))
                connection.commit()

    def finish():
        with psycopg.connect(database, autocommit=True) as connection:
            while not ended.is_set():
                connection.execute("UPDATE job_queue SET status = 'completed' WHERE status = 'pending'")

    most_open = 0
    with ThreadPoolExecutor(9) as pool:
        finisher = pool.submit(finish)
        producers = [pool.submit(produce) for _ in range(8)]
        watcher = connect()
        while not all(producer.done() for producer in producers):
            (now_open,) = watcher.execute("SELECT count(*) FROM job_queue WHERE status = 'pending'").fetchone()
            most_open = max(most_open, now_open)
        ended.set()
        finisher.result(30)
    ids = [id_ for producer in producers if producer.result() is None for id_ in produced if id_]
    assert most_open <= 1
    assert len(produced) == 480
    assert len(set(ids)) == watcher.execute("SELECT count(*) FROM job_queue").fetchone()[0] > 1


def test_thousands_go_in_few_statements_and_keep_their_order(connect, tenant):
    owner = tenant()
    connection = connect(autocommit=False)
    ids = enqueue_many(connection, (NewJob(type="t", tenant_id=owner, payload=n) for n in range(1_234)))
    stored = dict(connection.execute("SELECT id, payload FROM job_queue").fetchall())
    assert [stored[id_] for id_ in ids] == list(range(1_234))
    assert enqueue_many(connection, []) == []


@pytest.mark.parametrize("role", ["jobtide_worker", "service_role"])
def test_the_roles_that_enqueue_have_the_rights_for_it(connect, tenant, role):
    owner = tenant()
    connection = connect(role=role)
    assert enqueue(connection, "t", tenant_id=owner, unique="k") is not None
    assert enqueue(connection, "t", tenant_id=owner, unique="k") is None


def test_a_tenants_user_enqueues_for_that_tenant_alone(connect, tenant):
    mine, other = tenant(), tenant()
    (user,) = connect().execute("INSERT INTO users (tenant_id) VALUES (%s) RETURNING id", [mine]).fetchone()
    connection = connect(role="authenticated", claims={"sub": str(user), "role": "authenticated"})
    assert enqueue(connection, "t", tenant_id=mine, unique="k") is not None
    assert enqueue(connection, "t", tenant_id=mine, unique="k") is None
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        enqueue(connection, "t", tenant_id=other)


def test_an_unknown_tenant_is_the_databases_error(connect):
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        enqueue(connect(), "t", tenant_id=uuid4())
