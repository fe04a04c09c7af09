"""Children that a handler forks are ordinary processes: they end at SIGTERM and at their end, and write nothing."""

from __future__ import annotations

import signal

import pytest

APP = "forks:tide"


@pytest.mark.parametrize(
    ("how", "result"),
    [
        pytest.param("terminate", -signal.SIGTERM, id="multiprocessing.Process.terminate"),
        pytest.param("pool", [1, 2], id="multiprocessing.Pool"),
        pytest.param("exit", 7, id="os.fork and sys.exit"),
        pytest.param("raise", 1, id="os.fork and an exception"),
        pytest.param("return", 0, id="os.fork and a return"),
        pytest.param("signals", ["SIG_DFL", "default_int_handler"], id="the signals' default actions"),
    ],
)
def test_a_fork_of_a_handler_ends_as_a_process_of_its_own(
    worker, enqueue, tenant, row, connect, wait_until, how, result
):
    id_ = enqueue("forks", tenant(), {"how": how})
    process = worker(APP)
    wait_until(lambda: row(id_)["status"] == "completed")
    assert (row(id_)["result"], row(id_)["attempts"]) == (result, 1)
    later = enqueue("echo", tenant(), "the worker goes on")
    wait_until(lambda: row(later)["status"] == "completed")
    assert process.end(signal.SIGTERM) == 0


def test_a_signal_handler_of_the_application_stays_in_its_forks(worker, enqueue, tenant, row, wait_until):
    id_ = enqueue("forks.own", tenant())
    worker("own_signals:tide")
    wait_until(lambda: row(id_)["status"] == "completed")
    assert row(id_)["result"] == "SIG_IGN"
