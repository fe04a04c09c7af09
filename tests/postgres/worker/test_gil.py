"""A handler that holds the interpreter keeps its lease and its pod; a stopped process loses both."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.postgres.worker.test_process import fetch, free_port

pytestmark = pytest.mark.any_version

LEASE = {"JOBTIDE_LEASE_SECONDS": "2"}
LONG_SECONDS = 5  # a handler: longer than the lease, which is extended when a third of it is over


@pytest.fixture
def holding(worker, enqueue, tenant, row, wait_until):
    """holding(seconds) -> a worker whose handler has begun to hold the interpreter, the job's id, and its port."""

    def start(seconds):
        port = str(free_port())
        id_ = enqueue("hold", tenant(), {"seconds": seconds})
        process = worker("gil:tide", JOBTIDE_HTTP_PORT=port, **LEASE)
        wait_until(lambda: row(id_)["status"] == "processing")
        return process, id_, port

    return start


def test_a_handler_that_holds_the_interpreter_keeps_its_lease(holding, queue, row, wait_until):
    process, id_, _ = holding(LONG_SECONDS)
    other, stolen = queue("pod-2"), []

    def ended():
        stolen.extend(other.rescue_expired(10))
        return row(id_)["status"] == "completed"

    wait_until(ended)
    assert stolen == []
    assert row(id_)["attempts"] == 1
    assert process.logged("a handler has held the interpreter")
    assert not process.logged("lease lost")


def test_probes_are_answered_while_a_handler_holds_the_interpreter(holding, row, wait_until):
    _, id_, port = holding(10)  # longer than the answers below take on a busy machine
    wait_until(lambda: fetch(port, "/metrics") == 503)
    assert (fetch(port, "/livez"), fetch(port, "/readyz")) == (200, 200)
    assert row(id_)["status"] == "processing"
    wait_until(lambda: row(id_)["status"] == "completed")
    wait_until(lambda: fetch(port, "/metrics") == 200)


def test_idle_connections_stop_neither_probes_nor_leases_while_a_handler_holds_the_interpreter(
    holding, queue, row, wait_until
):
    """The keeper answers alone then: a client that asks for nothing must not be waited for."""
    _, id_, port = holding(10)  # longer than the answers below take on a busy machine
    other, stolen = queue("pod-2"), []
    wait_until(lambda: fetch(port, "/metrics") == 503)
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", int(port)), timeout=10))
        assert (fetch(port, "/livez"), fetch(port, "/readyz")) == (200, 200)
        assert fetch(port, "/metrics") == 503  # the handler still holds the interpreter

        def ended():
            stolen.extend(other.rescue_expired(10))
            return row(id_)["status"] == "completed"

        wait_until(ended)
    assert stolen == []


def test_leases_are_kept_during_the_drain_too(holding, row, queue, wait_until):
    process, id_, _ = holding(LONG_SECONDS)
    os.kill(process.popen.pid, signal.SIGTERM)
    other, stolen = queue("pod-2"), []

    def ended():
        stolen.extend(other.rescue_expired(10))
        return process.popen.poll() is not None

    wait_until(ended)
    assert (process.popen.returncode, stolen) == (0, [])
    assert (row(id_)["status"], row(id_)["attempts"]) == ("completed", 1)


def test_a_stopped_process_loses_its_lease_and_its_late_end_is_refused(holding, queue, row, wait_until, connect):
    process, id_, _ = holding(1)
    process.popen.send_signal(signal.SIGSTOP)
    wait_until(lambda: queue("pod-2").rescue_expired(10))
    connect().execute("UPDATE job_queue SET next_retry_at = now() + interval '1 hour' WHERE id = %s", [id_])
    process.popen.send_signal(signal.SIGCONT)
    wait_until(lambda: process.logged("lease lost"))
    assert row(id_)["status"] == "pending"
    assert row(id_)["result"]["error"]["type"] == "LeaseExpired"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_the_keeper_ends_with_its_worker(worker, enqueue, tenant, statuses, wait_until, number):
    enqueue("echo", tenant())
    process = worker("gil:tide")
    wait_until(lambda: statuses() == {"completed": 1})
    (keeper,) = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children").read_text().split()
    process.end(number)
    wait_until(lambda: not Path(f"/proc/{keeper}").exists() or "zombie" in Path(f"/proc/{keeper}/status").read_text())


def test_a_healthy_worker_has_two_connections(worker, enqueue, tenant, statuses, connect, wait_until):
    enqueue("echo", tenant())
    connection = connect()

    def connections():
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        return connection.execute(count).fetchone()[0]

    before = connections()
    worker("gil:tide")
    wait_until(lambda: statuses() == {"completed": 1})
    assert connections() - before == 2
