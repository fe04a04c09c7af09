"""An operator cancels a running job: its handler is asked to stop, and what it returns is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobtide.job import End
from jobtide.operate.change import Change
from jobtide.operate.filters import JobFilter
from jobtide.operate.session import operator_connection
from jobtide.queue.ring import Ring

NEVER_EXTENDED = {"JOBTIDE_LEASE_SECONDS": "3000"}  # the first extension is after a third of it


@pytest.fixture
def cancel(database):
    """cancel(id): by alice; the number of cancelled jobs."""

    def run(id_):
        with operator_connection(database) as connection:
            change = Change(connection, "cancel", JobFilter(id=id_), by="alice")
            return [progress.changed for progress in change][-1]

    return run


@pytest.fixture
def long_lease(worker):
    """long_lease(app): a worker that would not extend a lease in this test."""

    def start(app="jobs:tide", **environment):
        return worker(app, **NEVER_EXTENDED, **environment)

    return start


@pytest.fixture
def running(enqueue, tenant, row, wait_until):
    """running(type, payload): the id of a new job, once a worker has claimed it."""

    def start(type_, payload):
        id_ = enqueue(type_, tenant(), payload)
        wait_until(lambda: row(id_)["status"] == "processing")
        return id_

    return start


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def is_cancelled(row):
    error = row["result"]["error"]
    return (str(row["status"]), error["type"], error["by"]) == ("failed", "Cancelled", "alice")


def test_the_handler_sees_it_within_seconds(long_lease, running, cancel, row, tmp_path, wait_until):
    process = long_lease()
    id_ = running("wait", {"file": str(tmp_path / "never")})
    assert cancel(id_) == 1
    wait_until(lambda: process.logged("RuntimeError: cancelled") or process.logged("lease lost"))
    assert is_cancelled(row(id_))


def test_a_coroutine_is_cancelled_and_frees_its_place(
    long_lease, running, cancel, enqueue, tenant, row, tmp_path, wait_until
):
    long_lease(JOBTIDE_CONCURRENCY="1")
    id_ = running("async.wait", {"file": str(tmp_path / "never")})
    wait_until((tmp_path / "never").with_suffix(".begun").exists)
    cancel(id_)
    next_one = enqueue("echo", tenant(), 1)
    wait_until(lambda: row(next_one)["status"] == "completed")
    assert is_cancelled(row(id_))


def test_a_handler_in_a_process_is_killed(long_lease, running, cancel, row, tmp_path, wait_until):
    long_lease("own_process:tide")
    id_ = running("endless.untimed", {"pid": str(tmp_path / "pids")})
    pids = wait_until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().split())
    cancel(id_)
    wait_until(lambda: all(map(is_gone, pids)))
    assert is_cancelled(row(id_))


def test_a_program_is_killed(long_lease, running, cancel, row, tmp_path, wait_until):
    command = ["sh", "-c", f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; sleep 600"]
    long_lease("", JOBTIDE_EXEC=json.dumps({"script": command}))
    id_ = running("script", {})
    pid = wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    cancel(id_)
    wait_until(lambda: is_gone(pid))
    assert is_cancelled(row(id_))


@pytest.mark.parametrize("type_", ["harmless", "harmless.async"])
@pytest.mark.parametrize(("crashes", "is_apart"), [(1, True), (2, False)], ids=["in a process", "alone"])
def test_a_suspect_that_runs_apart_is_stopped_and_the_jobs_behind_it_run(
    long_lease, cancel, enqueue, tenant, row, tmp_path, wait_until, type_, crashes, is_apart
):
    process = long_lease("suspects:tide")
    begun = tmp_path / "begun"
    payload = {"begun": str(begun), "until": str(tmp_path / "never")}
    id_ = enqueue(type_, tenant(), payload, result=json.dumps({"suspect": crashes}))
    pid = int(wait_until(lambda: begun.exists() and begun.read_text().split())[0])
    assert (pid != process.popen.pid) is is_apart
    cancel(id_)
    if is_apart:
        wait_until(lambda: is_gone(pid))
    behind = enqueue("harmless", tenant(), {"begun": str(begun)})
    wait_until(lambda: row(behind)["status"] == "completed")
    assert is_cancelled(row(id_))
    assert row(id_)["result"]["suspect"] in {1, 2, 3}


def test_a_suspect_that_waits_to_run_alone_is_left_out(
    long_lease, running, cancel, enqueue, tenant, row, tmp_path, wait_until
):
    long_lease("suspects:tide")
    begun, until = tmp_path / "begun", tmp_path / "until"
    first = running("harmless", {"begun": str(begun), "until": str(until)})
    waiting = enqueue("harmless", tenant(), {"begun": str(tmp_path / "no")}, result=json.dumps({"suspect": 2}))
    wait_until(lambda: row(waiting)["status"] == "processing")
    cancel(waiting)
    until.touch()
    wait_until(lambda: row(first)["status"] == "completed")
    behind = enqueue("harmless", tenant(), {"begun": str(begun)})
    wait_until(lambda: row(behind)["status"] == "completed")
    assert is_cancelled(row(waiting))
    assert not (tmp_path / "no").exists()


def test_what_a_cancelled_claim_returns_is_refused_also_if_the_answer_to_its_end_was_lost(
    queue, enqueue, tenant, cancel, row
):
    one = queue()
    enqueue("a", tenant())
    (job,) = one.claim(Ring(("a",)), 1, 1).jobs
    cancel(job.id)
    end = End(job, "completed", "1")
    assert one.finish([end]) == set()
    assert one.confirm([end]) == set()
    assert one.held([job]) == set()
    assert is_cancelled(row(job.id))


def test_what_another_consumer_runs_is_left(enqueue, tenant, cancel, row):
    id_ = enqueue("a", tenant(), status="processing", worker_id="theirs")
    assert cancel(id_) == 0
    assert row(id_)["status"] == "processing"
