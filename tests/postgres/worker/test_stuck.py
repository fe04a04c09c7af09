"""A worker whose places are all held by handlers that never return exits, so that its pod starts it again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from jobtide.worker.loop import EXIT_STUCK
from tests.postgres.worker.test_process import fetch, free_port

pytestmark = pytest.mark.any_version

APP = "forks:tide"


def stuck_jobs(enqueue, tenant, tmp_path, count):
    return [enqueue("stuck", tenant(), {"until": str(tmp_path / "never")}) for _ in range(count)]


def test_a_worker_whose_handlers_are_all_stuck_exits_and_their_jobs_count_a_timeout(
    worker, enqueue, tenant, row, wait_until, tmp_path
):
    ids = stuck_jobs(enqueue, tenant, tmp_path, 2)
    process = worker(APP, JOBTIDE_CONCURRENCY="2", JOBTIDE_RETRY_BASE_SECONDS="600")
    wait_until(lambda: all(row(id_)["status"] == "processing" for id_ in ids))
    waiting = enqueue("echo", tenant(), 1)
    assert process.popen.wait(60) == EXIT_STUCK == 3
    assert process.logged("all 2 running handlers are past their timeout and do not stop")
    assert process.logged("exits with code 3")
    for id_ in ids:
        assert (row(id_)["status"], row(id_)["attempts"]) == ("pending", 1)
        assert row(id_)["result"]["error"]["message"] == "ran longer than its 0.2 s and did not stop"
    assert (row(waiting)["status"], row(waiting)["attempts"]) == ("pending", 0)
    worker(APP, JOBTIDE_CONCURRENCY="2")
    wait_until(lambda: row(waiting)["status"] == "completed")


def test_jobs_that_are_always_stuck_end_as_failed_after_their_attempts(worker, enqueue, tenant, row, tmp_path):
    ids = stuck_jobs(enqueue, tenant, tmp_path, 1)
    codes = [worker(APP, JOBTIDE_CONCURRENCY="1").popen.wait(60) for _ in range(2)]
    assert codes == [EXIT_STUCK, EXIT_STUCK]
    assert [(row(id_)["status"], row(id_)["attempts"]) for id_ in ids] == [("failed", 2)]


def test_jobs_claimed_ahead_of_stuck_ones_are_requeued(worker, enqueue, tenant, row, wait_until, tmp_path):
    (first,) = stuck_jobs(enqueue, tenant, tmp_path, 1)
    process = worker(APP, JOBTIDE_CONCURRENCY="1", JOBTIDE_PREFETCH="2", JOBTIDE_RETRY_BASE_SECONDS="600")
    wait_until(lambda: row(first)["status"] == "processing")
    ahead = [enqueue("echo", tenant(), 1) for _ in range(2)]
    assert process.popen.wait(60) == EXIT_STUCK
    assert {(row(id_)["status"], row(id_)["attempts"]) for id_ in ahead} == {("pending", 0)}


def test_a_worker_with_one_place_left_goes_on(worker, enqueue, tenant, row, wait_until, tmp_path):
    (one,) = stuck_jobs(enqueue, tenant, tmp_path, 1)
    port = str(free_port())
    process = worker(APP, JOBTIDE_CONCURRENCY="2", JOBTIDE_HTTP_PORT=port)
    wait_until(lambda: process.logged("runs past its timeout"))
    for number in range(20):
        id_ = enqueue("echo", tenant(), number)
        wait_until(lambda id_=id_: row(id_)["status"] == "completed")
    assert fetch(port, "/livez") == 200
    Path(tmp_path / "never").touch()
    wait_until(lambda: row(one)["status"] == "completed")
    assert process.end(signal.SIGTERM) == 0
