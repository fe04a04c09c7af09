"""jobtide.testing on a real table: drain in the caller's transaction or on its own connection, and the assertions."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from jobtide import Retry, Snooze, Tide, enqueue
from jobtide.testing import assert_enqueued, assert_not_enqueued, drain, enqueued
from tests.pages import TESTING, shown
from tests.postgres.worker.test_enqueue import django_door, psycopg_door, sqlalchemy_connection_door


@contextmanager
def url_door(url):
    with psycopg.connect(url, autocommit=True) as connection:
        yield url, connection


@contextmanager
def session_door(url):
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with Session(engine) as session:
        yield session, session


def own_transaction(door):
    @contextmanager
    def opened(url):
        with door(url) as (connection, *_):
            yield connection, connection

    return opened


DOORS = {
    "url": url_door,
    "psycopg": own_transaction(psycopg_door),
    "sqlalchemy connection": own_transaction(sqlalchemy_connection_door),
    "sqlalchemy session": session_door,
    "django": own_transaction(django_door),
}


@pytest.fixture(params=DOORS.values(), ids=DOORS)
def door(request, database):
    """The argument of drain, and a connection to check with."""
    with request.param(database) as opened:
        yield opened


@pytest.fixture
def tide():
    registry = Tide()

    @registry.job("echo")
    async def echo(payload):
        return payload

    @registry.job("boom", max_attempts=1)
    def boom(payload):
        raise ValueError("boom")

    @registry.job("later")
    def later(payload):
        raise Retry("busy", after=60)

    @registry.job("endless")
    def endless(payload):
        raise Snooze(0)

    return registry


def test_drain_runs_due_jobs_and_returns_how_they_ended(door, tide, tenant):
    database, connection = door
    owner = tenant()
    for type_, payload in (("echo", {"a": 1}), ("boom", None), ("later", None), ("other", None)):
        enqueue(connection, type_, payload, tenant_id=owner)
    enqueue(connection, "echo", tenant_id=owner, after=60)
    ended = {end.job.type: end for end in drain(database, tide)}
    assert {type_: end.status for type_, end in ended.items()} == {
        "echo": "completed", "boom": "failed", "later": "pending",
    }  # fmt: skip
    assert ended["echo"].result == {"a": 1}
    assert ended["boom"].result["error"]["message"] == "boom"
    assert [len(enqueued(connection, type_)) for type_ in ("echo", "boom", "later", "other")] == [1, 0, 1, 1]
    assert drain(database, tide) == []


def test_drain_also_runs_what_its_jobs_enqueue(connect, tide, tenant):
    connection, owner = connect(autocommit=False), tenant()

    @tide.job("parent")
    def parent(payload, ctx):
        for number in range(3):
            enqueue(connection, "echo", number, tenant_id=ctx.tenant_id)

    enqueue(connection, "parent", tenant_id=owner)
    assert sorted(end.result for end in drain(connection, tide)[1:]) == [0, 1, 2]
    connection.rollback()
    assert connect().execute("SELECT count(*) FROM job_queue").fetchone() == (0,)


def test_drain_of_a_queue_that_never_empties_ends_in_an_assertion(connect, tide, tenant):
    enqueue(connect(), "endless", tenant_id=tenant())
    with pytest.raises(AssertionError, match="still not empty after 20 jobs, the last of type 'endless'"):
        drain(connect(), tide, at_most=20)


async def test_the_error_of_drain_inside_an_event_loop_names_the_way(connect, tide, tenant):
    enqueue(connect(), "echo", tenant_id=tenant())
    (ended,) = drain(connect(), tide)
    assert "asyncio.to_thread(drain" in ended.result["error"]["message"]


def test_an_enqueued_job_is_found_by_its_fields(connect, tenant):
    connection, one, two = connect(autocommit=False), tenant(), tenant()
    first = enqueue(connection, "mail", {"to": "a", "copies": None}, tenant_id=one)
    enqueue(connection, "mail", {"to": "b"}, tenant_id=two)
    found = assert_enqueued(connection, "mail", to="a", copies=None)
    assert (found.id, found.tenant_id, found.payload) == (first, one, {"to": "a", "copies": None})
    assert assert_enqueued(connection, "mail", tenant_id=str(two)).payload == {"to": "b"}
    assert_not_enqueued(connection, "mail", tenant_id=two, to="a")
    with pytest.raises(
        AssertionError, match=r"no pending 'mail' with {'to': 'c'}; pending are: {'to': 'a'.*; {'to': 'b'}"
    ):
        assert_enqueued(connection, "mail", to="c")
    with pytest.raises(AssertionError, match=f"no pending 'chat' of tenant {one}; pending are: none of this type"):
        assert_enqueued(connection, "chat", tenant_id=one)
    with pytest.raises(AssertionError, match=r"expected no pending 'mail' with {'to': 'b'}: "):
        assert_not_enqueued(connection, "mail", to="b")


def test_what_has_begun_or_ended_is_not_enqueued(connect, tenant):
    connection = connect()
    enqueue(connection, "mail", tenant_id=tenant())
    connection.execute("UPDATE job_queue SET status = 'processing'")
    assert_not_enqueued(connection, "mail")
    assert_not_enqueued(connection, "mail", tenant_id=uuid4())


def test_the_documented_example_passes(database, tmp_path):
    (tmp_path / "shop.py").write_text(shown(TESTING, "application"))
    (tmp_path / "test_shop.py").write_text(shown(TESTING, "its tests"))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"],
        cwd=tmp_path, env={**os.environ, "DATABASE_URL": database, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "4 passed" in ran.stdout
