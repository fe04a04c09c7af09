"""An INSERT of any client wakes workers that rest, and losing every notification costs only time."""

from __future__ import annotations

import select
import socket
import threading
from uuid import uuid4

import psycopg
import pytest

from jobtide.queue.rest import MOST_HASHED, Rest
from jobtide.queue.session import Session
from jobtide.schema import apply
from jobtide.worker.mailbox import Mailbox

INSERT = "INSERT INTO job_queue (tenant_id, type) VALUES (%s, %s)"
LISTENING = """SELECT count(*) FROM pg_locks AS l
               WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.classid = 1785684598
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
SELDOM_POLLS = {"JOBTIDE_POLL_SECONDS": "3600"}  # each 5 s at the most


@pytest.fixture
def rests(database):
    """rests("a", "b"): a session that rests for these types."""
    sessions = []

    def begin(*types):
        sessions.append(Session(lambda: database))
        rest = Rest(sessions[-1], types)
        assert rest.begin()
        return rest

    yield begin
    for session in sessions:
        session.close()


@pytest.fixture
def woken(wait_until):
    """woken(rest): whether it hears of a job. woken(rest, at_once=True): of what was committed before this call."""

    def is_woken(rest, *, at_once=False):
        if at_once:
            rest._session.connection().execute("SELECT")  # what was sent before is in its answer
            return rest.hear()
        wait_until(rest.hear)
        return True

    return is_woken


@pytest.mark.parametrize(
    ("statement", "wakes"),
    [
        pytest.param("INSERT INTO job_queue (tenant_id, type) VALUES (%(t)s, 'a')", True, id="a plain insert"),
        pytest.param(
            "INSERT INTO job_queue (tenant_id, type) SELECT %(t)s, unnest(ARRAY['b', 'a', 'c'])", True, id="many types"
        ),
        pytest.param(
            "INSERT INTO job_queue (tenant_id, type) VALUES (%(t)s, 'a') ON CONFLICT DO NOTHING", True, id="on conflict"
        ),
        pytest.param(
            "INSERT INTO job_queue (tenant_id, type, created_at) VALUES (%(t)s, 'a', NULL)", True, id="no created_at"
        ),
        pytest.param("INSERT INTO job_queue (tenant_id, type) VALUES (%(t)s, 'b')", False, id="another type"),
        pytest.param(
            "INSERT INTO job_queue (tenant_id, type, next_retry_at) VALUES (%(t)s, 'a', now() + interval '1 h')",
            False, id="due later",
        ),
        pytest.param(
            "INSERT INTO job_queue (tenant_id, type, status) VALUES (%(t)s, 'a', 'completed')", False, id="ended"
        ),
        pytest.param("INSERT INTO job_queue (tenant_id, type) SELECT %(t)s, 'a' WHERE false", False, id="no row"),
    ],
)  # fmt: skip
def test_an_insert_wakes_who_rests_for_a_due_job_of_its_type(rests, woken, connect, tenant, statement, wakes):
    rest = rests("a")
    connect().execute(statement, {"t": tenant()})
    assert woken(rest, at_once=not wakes) == wakes


def test_copy_wakes(rests, woken, connect, tenant):
    rest = rests("a")
    with connect().cursor().copy("COPY job_queue (tenant_id, type) FROM STDIN") as copy:
        copy.write_row((tenant(), "a"))
    assert woken(rest)


def test_an_insert_that_is_rolled_back_wakes_no_worker(rests, woken, connect, tenant):
    rest, conn = rests("a"), connect()
    with conn.transaction(force_rollback=True):
        conn.execute(INSERT, [tenant(), "a"])
    assert not woken(rest, at_once=True)


@pytest.mark.parametrize("type_", ["a\nb", "x" * 100_000, "\u202e' || \"", "\x01", "", " 1 2 3 "], ids=ascii)
def test_a_hostile_type_wakes_its_own_workers_and_no_others(rests, woken, connect, tenant, type_):
    own, other = rests(type_), rests("other")
    connect().execute(INSERT, [tenant(), type_])
    assert woken(own)
    assert not woken(other, at_once=True)


def test_a_worker_of_many_types_is_woken_for_each(rests, woken, connect, tenant):
    rest = rests(*(f"type.{number}" for number in range(MOST_HASHED + 1)))
    connect().execute(INSERT, [tenant(), f"type.{MOST_HASHED}"])
    assert woken(rest)


def test_as_many_are_woken_as_there_are_jobs(rests, woken, connect, tenant):
    resting, owner = [rests("a") for _ in range(12)], tenant()
    connect().execute("INSERT INTO job_queue (tenant_id, type) SELECT %s, 'a' FROM generate_series(1, 3)", [owner])
    assert sum(woken(rest, at_once=True) for rest in resting) == 3


def test_who_has_no_place_for_what_it_was_woken_for_wakes_another(rests, woken, connect, tenant, wait_until):
    first, second = rests("a"), rests("a")
    connect().execute(INSERT, [tenant(), "a"])
    named, other = (first, second) if woken(first, at_once=True) else (second, first)
    named.end(passes_on=False)

    def is_passed_on():
        if named.hear():  # it may arrive during the end of the rest, or after it
            named.end(passes_on=False)
        return other.hear()

    wait_until(is_passed_on)


def test_no_notification_is_sent_while_no_worker_rests(rests, connect, tenant):
    rest = rests("a")
    rest.end(passes_on=False)
    listening = connect()
    listening.execute("LISTEN jobtide")
    connect().execute(INSERT, [tenant(), "a"])
    assert list(listening.notifies(timeout=0)) == []


def test_inserts_of_the_same_moment_all_find_who_rests(rests, woken, connect, tenant):
    """A try of one must not look like no worker to another; only the reverse may happen."""
    rest, owner = rests("a"), tenant()
    connections = [connect() for _ in range(4)]
    barrier = threading.Barrier(len(connections))

    def insert(conn):
        barrier.wait()
        for _ in range(50):
            conn.execute(INSERT, [owner, "a"])

    listening = connect()
    listening.execute("LISTEN jobtide")
    threads = [threading.Thread(target=insert, args=(conn,)) for conn in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listening.execute("SELECT")
    assert len(list(listening.notifies(timeout=0))) == 200
    assert woken(rest)


def test_an_insert_leaves_no_lock_behind(rests, connect, tenant):
    rests("a")
    conn = connect()
    with conn.transaction():
        conn.execute(INSERT, [tenant(), "b"])
        held = conn.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert held.fetchone() == (0,)


def test_a_tenants_user_behind_row_level_security_wakes(rests, woken, connect, database, tenant):
    apply(database, roles=True, tenant_walls=True)
    owner, user, conn = tenant(), uuid4(), connect()
    conn.execute("INSERT INTO users (id, tenant_id) VALUES (%s, %s)", [user, owner])
    rest = rests("a")
    with conn.transaction():
        conn.execute("SET LOCAL ROLE authenticated")
        conn.execute("SELECT set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{user}"}}'])
        conn.execute(INSERT, [owner, "a"])
    assert woken(rest)


@pytest.mark.parametrize("function", ["pg_notify(text, text)", "pg_try_advisory_lock(int, int)"])
def test_without_a_right_to_the_functions_an_insert_still_succeeds(rests, connect, tenant, function):
    conn, owner = connect(), tenant()
    rests("a")
    name = f"inserter_{uuid4().hex[:8]}"
    conn.execute(f"CREATE ROLE {name}")
    conn.execute(f"GRANT INSERT ON job_queue TO {name}")
    conn.execute("ALTER TABLE job_queue DISABLE ROW LEVEL SECURITY")
    conn.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    try:
        conn.execute(f"SET ROLE {name}")
        conn.execute(INSERT, [owner, "a"])
        conn.execute("RESET ROLE")
        assert conn.execute("SELECT count(*) FROM job_queue").fetchone() == (1,)
    finally:
        conn.execute("RESET ROLE")
        conn.execute(f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC")
        conn.execute(f"DROP OWNED BY {name}")
        conn.execute(f"DROP ROLE {name}")


OTHER_LOCKS = """DO $$ BEGIN
  EXECUTE replace(pg_get_functiondef('jobtide_wake'::regproc), '1785684598, TG_RELID::int', '1785684598, 0');
END $$"""


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("DROP TRIGGER jobtide_wake ON job_queue", id="without the trigger"),
        pytest.param(OTHER_LOCKS, id="the trigger of a release that tries other locks"),
    ],
)
def test_a_session_does_not_rest_where_no_insert_would_wake_it(database, connect, change):
    connect().execute(change)
    session = Session(lambda: database)
    rest = Rest(session, ["a"])
    assert not rest.begin()
    assert connect().execute(LISTENING).fetchone() == (0,)
    session.close()


def test_a_wait_ends_with_an_insert(rests, connect, tenant):
    rest, mailbox = rests("a"), Mailbox()
    inserting = threading.Thread(target=lambda: connect().execute(INSERT, [tenant(), "a"]))
    inserting.start()
    assert mailbox.get(600, rest) == "woken"
    assert mailbox.get(0.01, rest) is None, "it is woken once"
    inserting.join()


def test_a_worker_that_no_longer_rests_reads_what_the_server_sends(rests, connect, wait_until):
    """Otherwise the server would keep it for this session, up to the whole notification queue."""
    rest, mailbox = rests("a"), Mailbox()
    rest.end(passes_on=False)
    rest.looks()
    connect().execute("SELECT pg_notify('jobtide', repeat('x', 7000) || n) FROM generate_series(1, 1000) AS n")
    wait_until(lambda: mailbox.get(0.01, rest) is None and not select.select([rest.descriptor], [], [], 0.1)[0])
    assert rest.descriptor is not None


def test_a_role_that_may_not_notify_does_not_rest(own_server, own_database, connect):
    """Its polls find jobs; without the look at the right, each end of a rest would be an outage."""
    admin = connect(own_database)
    admin.execute("REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC")
    admin.execute("CREATE ROLE mute LOGIN IN ROLE jobtide_worker")
    session = Session(lambda: own_server.url("main", user="mute"))
    rest = Rest(session, ["a"])
    assert not rest.begin()
    assert not rest.is_on
    rest.end(passes_on=True)
    assert connect(own_database).execute(LISTENING).fetchone() == (0,)
    session.close()


def test_a_rest_that_can_not_be_ended_in_order_is_no_outage(rests, connect):
    rest = rests("a")
    pid = rest._session.connection().info.backend_pid
    connect().execute("SELECT pg_terminate_backend(%s)", [pid])
    rest.end(passes_on=True)
    assert not rest.is_on


def test_a_lost_connection_is_something_to_look_at(rests, connect):
    rest = rests("a")
    pid = rest._session.connection().info.backend_pid
    connect().execute("SELECT pg_terminate_backend(%s)", [pid])
    mailbox = Mailbox()
    assert mailbox.get(10, rest) == "woken"
    assert not rest.is_on


def test_mail_arrives_while_a_connection_is_watched(rests):
    rest, mailbox = rests("a"), Mailbox()
    sender = threading.Thread(target=lambda: mailbox.put("freed"))
    sender.start()
    assert mailbox.get(10, rest) == "freed"
    sender.join()


def test_a_full_mailbox_blocks_no_sender(rests):
    rest, mailbox = rests("a"), Mailbox()
    mailbox._is_watched = True
    size = mailbox._theirs.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    for _ in range(size // 100):
        mailbox.put("freed")
    assert mailbox.get(10, rest) == "freed"


def test_a_worker_rests_again_after_each_job(worker, connect, enqueue, tenant, row, wait_until):
    process = worker(**SELDOM_POLLS)
    watching = connect()
    for _ in range(3):
        wait_until(lambda: watching.execute(LISTENING).fetchone()[0] == 1)
        id_ = enqueue("echo", tenant(), 1)
        wait_until(lambda id_=id_: row(id_)["status"] == "completed")
    assert not process.logged("error")


def test_a_worker_whose_connection_is_ended_rests_again(worker, connect, enqueue, tenant, row, wait_until):
    worker(**SELDOM_POLLS)
    watching = connect()
    wait_until(lambda: watching.execute(LISTENING).fetchone()[0] == 1)
    before = watching.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'").fetchone()
    watching.execute("SELECT pg_terminate_backend(%s)", before)
    wait_until(
        lambda: (
            watching.execute(LISTENING.replace("count(*)", "count(*) FILTER (WHERE pid <> %s)"), before).fetchone()[0]
            == 1
        )
    )
    id_ = enqueue("echo", tenant(), 1)
    wait_until(lambda: row(id_)["status"] == "completed")


def test_a_worker_finds_jobs_after_the_trigger_is_dropped(worker, connect, enqueue, tenant, row, wait_until):
    worker()
    watching = connect()
    wait_until(lambda: watching.execute(LISTENING).fetchone()[0] == 1)
    watching.execute("DROP TRIGGER jobtide_wake ON job_queue")
    id_ = enqueue("echo", tenant(), 1)
    wait_until(lambda: row(id_)["status"] == "completed")


def test_the_old_setting_is_reported_and_harmless(worker, enqueue, tenant, row, wait_until):
    process = worker(JOBTIDE_LISTEN="1")
    id_ = enqueue("echo", tenant(), 1)
    wait_until(lambda: row(id_)["status"] == "completed")
    assert process.logged("JOBTIDE_LISTEN is no longer needed")


def test_a_prepared_transaction_may_insert(database, connect, tenant):
    """Where the server allows none, PREPARE TRANSACTION fails with or without the trigger."""
    conn = connect()
    (allowed,) = conn.execute("SHOW max_prepared_transactions").fetchone()
    rest = Rest(Session(lambda: database), ["a"])
    assert rest.begin() == (allowed == "0")
    with conn.transaction():
        conn.execute(INSERT, [tenant(), "a"])
        if allowed != "0":
            conn.execute("PREPARE TRANSACTION 'one'")
    rest._session.close()
    assert isinstance(conn, psycopg.Connection)
