"""NOTIFY wakes a worker that listens; if it fails, the worker still polls."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

import pytest

from dev.postgres.pgbouncer import PgBouncer
from jobtide.queue.session import Session
from jobtide.telemetry.events import DatabaseBack, DatabaseLost, ListenIgnored
from jobtide.worker.wakeup import Listener

LISTENING = """SELECT pid FROM pg_stat_activity
               WHERE query = 'LISTEN jobtide' AND state = 'idle' AND datname = current_database()"""


class Listening:
    """A listener, its wake-ups and its events."""

    def __init__(self, url):
        self.wakes, self.events = SimpleQueue(), []
        self.session = Session(lambda: url)
        self.looked_at = SimpleQueue()
        self.listener = Listener(
            self.session, ["mail.send"], lambda: self.wakes.put(1), self.looked_at.put, self.events.append
        )

    def woken(self, seconds=10):
        try:
            return bool(self.wakes.get(timeout=seconds))
        except Empty:
            return False


@pytest.fixture
def listening(database, connect, wait_until):
    """A running listener, after the wake-up with which it starts."""
    listening = Listening(database)
    listening.listener.start()
    assert listening.woken()
    watching = connect()
    wait_until(lambda: watching.execute(LISTENING).fetchone())
    return listening


@pytest.mark.parametrize(
    "notify",
    [
        pytest.param("NOTIFY jobtide", id="for any type"),
        pytest.param("NOTIFY jobtide, 'mail.send'", id="for a type of its own"),
    ],
)
def test_a_notification_wakes(listening, connect, notify):
    connect().execute(notify)
    assert listening.woken()


def test_other_types_and_channels_do_not_wake(listening, connect):
    connection = connect()
    connection.execute("NOTIFY jobtide, 'video.ingest'")
    connection.execute("NOTIFY another")
    connection.execute("NOTIFY jobtide")  # notifications come in order: when this one is here, the others were before
    assert listening.woken()
    assert listening.wakes.empty()


def test_after_a_lost_connection_it_reconnects_and_wakes_the_worker_for_missed_notifications(listening, connect):
    connection = connect()
    connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({LISTENING}) AS listening")
    assert listening.woken()
    assert [type(event) for event in listening.events] == [DatabaseLost, DatabaseBack]


def test_behind_a_pooler_it_is_ignored_with_one_event(server, database):
    with PgBouncer(server=server) as pooler:
        behind = Listening(pooler.url(urlsplit(database).path.lstrip("/")))
        thread = threading.Thread(target=behind.listener.run, daemon=True)
        thread.start()
        thread.join(10)
    assert not thread.is_alive()
    assert behind.events == [ListenIgnored()]


def test_a_worker_listens_if_the_setting_is_on(worker, connect, enqueue, tenant, row, wait_until):
    process = worker(JOBTIDE_LISTEN="1")
    watching = connect()
    wait_until(lambda: watching.execute(LISTENING).fetchone(), seconds=30)
    id_ = enqueue("echo", tenant(), 1)
    connect().execute("NOTIFY jobtide, 'echo'")
    wait_until(lambda: row(id_)["status"] == "completed")
    assert not process.logged("error")
