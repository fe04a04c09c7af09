"""NOTIFY wakes a worker that listens; whatever goes wrong with it, there is still the poll."""

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


class Heard:
    """A listener's calls and events, as they come."""

    def __init__(self, url):
        self.wakes, self.events = SimpleQueue(), []
        self.session = Session(lambda: url)
        self.listener = Listener(self.session, ["mail.send"], lambda: self.wakes.put(1), self.events.append)

    def woken(self, seconds=10):
        try:
            return bool(self.wakes.get(timeout=seconds))
        except Empty:
            return False


@pytest.fixture
def heard(database, connect, wait_until):
    """A running listener, past the look that it takes when it begins to listen."""
    heard = Heard(database)
    heard.listener.start()
    assert heard.woken()
    wait_until(lambda: connect().execute(LISTENING).fetchone())
    return heard


@pytest.mark.parametrize(
    "notify",
    [
        pytest.param("NOTIFY jobtide", id="for any type"),
        pytest.param("NOTIFY jobtide, 'mail.send'", id="for a type of its own"),
    ],
)
def test_a_notification_wakes(heard, connect, notify):
    connect().execute(notify)
    assert heard.woken()


def test_other_types_and_channels_do_not_wake(heard, connect):
    connection = connect()
    connection.execute("NOTIFY jobtide, 'video.ingest'")
    connection.execute("NOTIFY another")
    connection.execute("NOTIFY jobtide")  # notifications come in order: when this one is here, the others were before
    assert heard.woken()
    assert heard.wakes.empty()


def test_a_lost_connection_is_made_again_and_looks_for_what_was_missed(heard, connect):
    connection = connect()
    connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({LISTENING}) AS listening")
    assert heard.woken()
    assert [type(event) for event in heard.events] == [DatabaseLost, DatabaseBack]


def test_behind_a_pooler_it_is_ignored_with_a_word(server, database):
    with PgBouncer(server=server) as pooler:
        behind = Heard(pooler.url(urlsplit(database).path.lstrip("/")))
        thread = threading.Thread(target=behind.listener.run, daemon=True)
        thread.start()
        thread.join(10)
    assert not thread.is_alive()
    assert behind.events == [ListenIgnored()]


def test_a_worker_told_to_listen_does(worker, connect, enqueue, tenant, row, wait_until):
    process = worker(JOBTIDE_LISTEN="1")
    wait_until(lambda: connect().execute(LISTENING).fetchone(), seconds=30)
    id_ = enqueue("echo", tenant(), 1)
    connect().execute("NOTIFY jobtide, 'echo'")
    wait_until(lambda: row(id_)["status"] == "completed")
    assert not process.said("error")
