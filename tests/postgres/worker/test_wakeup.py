"""An INSERT wakes an idle worker, and nothing depends on it."""

from __future__ import annotations

import select
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from dev.postgres.pgbouncer import PgBouncer
from jobtide.queue.rest import Rest
from jobtide.queue.session import Session

INSERT = "INSERT INTO job_queue (tenant_id, type) VALUES (%s, %s)"


@pytest.fixture
def resting(database):
    """resting(types): a session that rests."""
    sessions = []

    def start(*types, url=database):
        session = Session(lambda: url)
        sessions.append(session)
        rest = Rest(session, types)
        rest.began = rest.begin()
        return rest

    yield start
    for session in sessions:
        session.close()


def is_woken(rest, seconds=10.0):
    return rest.hear() or bool(select.select([rest.descriptor], [], [], seconds)[0] and rest.hear())


HOSTILE = ["mail", "x" * 8_500, "a\nb", "it's; --", "\u2603", " ", "1785684598"]


@pytest.mark.parametrize("type_", HOSTILE, ids=range(len(HOSTILE)))
def test_an_insert_wakes_who_rests_for_its_type(resting, connect, tenant, type_):
    rest, other = resting(type_), resting("other")
    connect().execute(INSERT, [tenant(), type_])
    assert is_woken(rest)
    assert not is_woken(other, 0)


def test_a_burst_wakes_as_many_as_there_are_jobs(resting, connect, tenant):
    rests = [resting("mail") for _ in range(40)]
    connect().execute(
        "INSERT INTO job_queue (tenant_id, type) SELECT %s, 'mail' FROM generate_series(1, 3)", [tenant()]
    )
    connect().execute("NOTIFY jobtide, 'last'")
    for rest in rests:
        assert select.select([rest.descriptor], [], [], 10)[0]
    connect().execute("SELECT 1")
    assert sum(rest.hear() for rest in rests) == 3


def test_one_that_is_named_and_has_no_place_passes_it_on(resting, connect, tenant):
    full, idle = resting("mail"), resting("mail")
    full._called = True
    full.end(passes_on=False)
    assert is_woken(idle)


def test_nobody_is_notified_for_what_is_rolled_back_or_not_due(resting, connect, tenant):
    rest, owner = resting("mail"), tenant()
    connection = connect(autocommit=False)
    connection.execute(INSERT, [owner, "mail"])
    connection.rollback()
    connection.autocommit = True
    connection.execute(
        "INSERT INTO job_queue (tenant_id, type, next_retry_at) VALUES (%s, 'mail', now() + interval '1 h')", [owner]
    )
    connection.execute("NOTIFY jobtide, 'last'")
    assert select.select([rest.descriptor], [], [], 10)[0]
    assert not rest.hear()


def test_a_user_of_a_tenant_wakes_too(resting, connect, tenant, database):
    owner, user = tenant(), uuid4()
    connect().execute("INSERT INTO users (id, tenant_id) VALUES (%s, %s)", [user, owner])
    rest = resting("mail")
    connect(role="authenticated", claims={"sub": str(user)}).execute(INSERT, [owner, "mail"])
    assert is_woken(rest)


def test_without_the_trigger_or_behind_a_pooler_there_is_no_rest(resting, connect, server, database):
    connect().execute("DROP TRIGGER jobtide_wake ON job_queue")
    assert not resting("mail").began
    with PgBouncer(server=server) as pooler:
        assert not resting("mail", url=pooler.url(urlsplit(database).path.lstrip("/"))).began


def test_a_lost_connection_is_something_to_look_at(resting, connect):
    rest = resting("mail")
    connect().execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE classid = 1785684596 AND locktype = 'advisory'")
    assert is_woken(rest)
    assert not rest.is_on
    assert rest.begin()


def test_a_worker_is_woken_long_before_its_poll(worker, connect, enqueue, tenant, row, wait_until):
    process = worker(JOBTIDE_POLL_SECONDS="600", JOBTIDE_LISTEN="1")
    watching = connect()
    wait_until(
        lambda: watching.execute("SELECT FROM pg_locks WHERE classid = 1785684596 AND locktype = 'advisory'").fetchone(),
        seconds=30,
    )
    id_ = enqueue("echo", tenant(), 1)
    wait_until(lambda: row(id_)["status"] == "completed")
    assert process.logged("no longer needed")
    assert not process.logged("error")
