"""While there are no jobs, an INSERT ends the controller's wait for its next reading."""

from __future__ import annotations

import os
import select

import psycopg
import pytest

from jobtide.schema import apply
from jobtide_controller.decide.reading import Reading

INSERT = "INSERT INTO job_queue (tenant_id, type, next_retry_at) VALUES (%s, %s, now() + make_interval(secs => %s))"
LOCKS = """SELECT count(*) FROM pg_locks AS l WHERE l.locktype = 'advisory'
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


@pytest.fixture
def owner(database):
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def tenant(owner):
    return owner.execute("INSERT INTO tenants DEFAULT VALUES RETURNING id").fetchone()[0]


@pytest.fixture
def quiet(reader):
    """A reader that has found no job of type a, and rests."""
    for _ in range(2):
        assert isinstance(reader.read(["a"]), Reading)
    assert reader.hears_jobs
    return reader


def arrives(reader, seconds: float) -> bool:
    """Whether the wait ends; `seconds` is the longest."""
    if reader.hearing.has_notices:
        return True
    descriptor = reader.hearing.descriptor()
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("due_in_seconds", [pytest.param(-1, id="due"), pytest.param(3600, id="due later")])
def test_an_insert_ends_the_wait(quiet, owner, tenant, due_in_seconds):
    owner.execute(INSERT, [tenant, "a", due_in_seconds])
    assert arrives(quiet, seconds=30)


def test_an_insert_of_another_type_does_not(quiet, owner, tenant):
    owner.execute(INSERT, [tenant, "b", -1])
    quiet.session.connect().execute("SELECT")  # what was sent before is in its answer
    assert not quiet.hearing.take()


def test_the_locks_are_given_back_while_jobs_are_due(quiet, owner, tenant):
    owner.execute(INSERT, [tenant, "a", -1])
    quiet.read(["a"])
    assert not quiet.hears_jobs
    assert owner.execute(LOCKS).fetchone() == (0,)


def test_a_notification_that_another_statement_has_taken_from_the_socket_is_not_lost(quiet, owner, tenant):
    owner.execute(INSERT, [tenant, "a", 3600])
    quiet.session.connect().execute("SELECT")
    assert arrives(quiet, seconds=0)


def test_a_reader_that_can_not_be_woken_gives_all_locks_back(reader, owner):
    """It has taken some before it learns that its table has no trigger."""
    reader.read(["a"])
    reader.session.connect().execute("SET search_path = pg_catalog")
    reader.hearing.begin(reader.session.connect(), ["a"])
    assert not reader.hearing.is_on
    assert owner.execute(LOCKS).fetchone() == (0,)


def test_the_table_of_another_schema_notifies_its_own_readers_alone(quiet, database, owner):
    owner.execute("CREATE SCHEMA second")
    with_schema = database + ("&" if "?" in database else "?") + "options=-csearch_path%3Dsecond"
    apply(with_schema)
    tenant = owner.execute("INSERT INTO second.tenants DEFAULT VALUES RETURNING id").fetchone()[0]
    owner.execute("INSERT INTO second.job_queue (tenant_id, type) VALUES (%s, 'a')", [tenant])
    quiet.session.connect().execute("SELECT")
    assert not quiet.hearing.take()
