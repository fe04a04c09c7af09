"""`@tide.job(..., process=True)`: every outcome, every way to be killed, limits and recycling, with real processes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_version

APP = "own_process:tide"


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture
def ran(worker, enqueue, tenant, row, wait_until):
    """ran(type, payloads..., **environment) -> the rows once their handlers have run, and the worker."""

    def run(type_, *payloads, **environment):
        owner = tenant()
        ids = [enqueue(type_, owner, payload) for payload in payloads]
        process = worker(APP, **environment)

        def rows():
            found = [row(id_) for id_ in ids]
            return found if all(one["status"] != "processing" and one["worker_id"] for one in found) else None

        return wait_until(rows), process

    return run


@pytest.mark.parametrize(
    ("end", "status", "attempts", "error"),
    [
        ("raise", "pending", 1, ("ValueError", "böse")),
        ("retry", "pending", 1, ("Retry", "busy")),
        ("fail", "failed", 1, ("Fail", "no use")),
        ("exit", "pending", 1, ("SystemExit", "3")),
        ("leave", "pending", 1, ("ProcessDied", "ended before its handler did: exit code 4")),
        ("segfault", "pending", 1, ("ProcessDied", "ended before its handler did: killed by SIGSEGV")),
        ("set", "failed", 1, ("ResultNotStorable", "set is not JSON serializable")),
        ("large", "failed", 1, ("ResultNotStorable", "the limit is 1048576")),
    ],
)
def test_a_handler_in_a_process_ends_its_job_as_a_thread_would(ran, end, status, attempts, error):
    (row,), _ = ran("process", {"end": end}, JOBTIDE_RETRY_BASE_SECONDS="600")
    assert (row["status"], row["attempts"]) == (status, attempts)
    assert row["result"]["error"]["type"] == error[0]
    assert error[1] in row["result"]["error"]["message"]


def test_the_traceback_is_that_of_the_process(ran):
    (row,), _ = ran("process", {"end": "raise"}, JOBTIDE_RETRY_BASE_SECONDS="600", JOBTIDE_ERROR_DETAIL="full")
    trace = row["result"]["error"]["traceback"]
    assert "own_process.py" in trace
    assert trace.endswith("ValueError: böse\n")


def test_a_value_is_stored_and_the_job_is_known_in_the_process(ran):
    (row,), process = ran("process", {"end": "return", "ü": [None, 2**70, "\U0001f680"]})
    assert row["status"] == "completed"
    assert row["result"]["pid"] != process.popen.pid
    assert row["result"]["payload"] == {"end": "return", "ü": [None, 2**70, "\U0001f680"]}
    assert (row["result"]["attempt"], row["result"]["tenant"]) == (1, str(row["tenant_id"]))


def test_a_snoozed_job_does_not_count(ran):
    (row,), _ = ran("process", {"end": "snooze"})
    assert (row["status"], row["attempts"]) == ("pending", 0)


def test_a_coroutine_runs_in_a_process_too_and_is_cancelled_at_its_timeout(ran):
    (row, late), process = ran("process.async", {}, {"forever": True})
    assert (row["status"], row["result"] != process.popen.pid) == ("completed", True)
    assert late["result"]["error"]["message"] == "ran longer than its 0.3 s and was cancelled (CancelledError)"


def test_one_process_runs_many_jobs_until_it_is_recycled(ran):
    rows, _ = ran("recycled", {}, {}, {}, {}, {}, JOBTIDE_CONCURRENCY="1")
    results = [row["result"] for row in rows]
    assert [result["jobs"] for result in results] == [1, 2, 1, 2, 1]
    assert len({result["pid"] for result in results}) == 3
    for result in results[:4]:
        assert is_gone(result["pid"])


def test_a_handler_beyond_its_memory_limit_fails_alone(ran):
    rows, process = ran("limited", {}, {"leak": True}, {}, JOBTIDE_CONCURRENCY="1")
    assert [row["status"] for row in rows] == ["completed", "failed", "completed"]
    assert rows[1]["result"]["error"]["type"] == "MemoryError"
    assert rows[2]["result"] != rows[0]["result"], "after a MemoryError a new process starts"
    assert process.popen.poll() is None


def test_a_handler_that_sees_its_cancellation_may_still_return(ran):
    (row,), _ = ran("heeds", {})
    assert (row["status"], row["result"]) == ("completed", "stopped by timeout")


@pytest.mark.parametrize("python", [True, False], ids=["a loop of bytecode", "a call that holds the interpreter"])
def test_a_handler_that_never_returns_is_killed_at_its_timeout(ran, tmp_path, python):
    (row,), process = ran("endless", {"pid": str(tmp_path / "pid"), "python": python})
    assert row["status"] == "failed"
    assert row["result"]["error"]["message"] == "ran longer than its 0.3 s and was cancelled (ProcessDied)"
    assert is_gone((tmp_path / "pid").read_text())
    assert not process.logged("lease lost")


@pytest.fixture
def endless(worker, enqueue, tenant, wait_until, tmp_path):
    """A job that runs for ten minutes, and its process and that one's child: (id, worker, pids)."""

    def start(**environment):
        id_ = enqueue("endless.untimed", tenant(), {"pid": str(tmp_path / "pid")})
        process = worker(APP, **environment)
        wait_until(lambda: (tmp_path / "pid").exists() and "\n" in (tmp_path / "pid").read_text())
        return id_, process, (tmp_path / "pid").read_text().split()

    return start


def test_the_end_of_the_drain_time_kills_the_process_and_its_children(endless, row, wait_until):
    id_, process, pids = endless(JOBTIDE_DRAIN_SECONDS="0")
    assert process.end(signal.SIGTERM) == 0
    assert (row(id_)["status"], row(id_)["attempts"]) == ("pending", 0)
    wait_until(lambda: all(map(is_gone, pids)))


def test_a_lost_lease_kills_the_process_and_its_children(endless, row, connect, wait_until):
    id_, process, pids = endless(JOBTIDE_LEASE_SECONDS="1")
    connect().execute("UPDATE job_queue SET status = 'completed', result = '1' WHERE id = %s", [id_])
    wait_until(lambda: all(map(is_gone, pids)))
    assert process.logged("lease lost (noticed at extend)")
    assert (row(id_)["status"], row(id_)["result"]) == ("completed", 1)


def test_progress_reaches_the_table(endless, row, wait_until):
    id_, _, _ = endless(JOBTIDE_LEASE_SECONDS="1")
    wait_until(lambda: row(id_)["result"] == {"progress": {"fraction": 0.25, "note": "on the way"}})


def test_a_killed_worker_takes_its_processes_along(endless, wait_until):
    _, process, pids = endless()
    process.end(signal.SIGKILL)
    wait_until(lambda: all(map(is_gone, pids)))


def test_an_idle_process_ends_with_its_worker(ran, wait_until):
    (row,), process = ran("process", {"end": "return"})
    assert not is_gone(row["result"]["pid"])
    assert process.end(signal.SIGTERM) == 0
    wait_until(lambda: is_gone(row["result"]["pid"]))


def test_a_process_that_was_killed_while_idle_is_replaced(ran, enqueue, tenant, row, wait_until):
    (first,), _ = ran("process", {"end": "return"}, JOBTIDE_CONCURRENCY="1")
    os.kill(first["result"]["pid"], signal.SIGKILL)
    id_ = enqueue("process", tenant(), {"end": "return"})
    wait_until(lambda: row(id_)["status"] == "completed")
    assert row(id_)["attempts"] == 1
    assert row(id_)["result"]["pid"] != first["result"]["pid"]


def test_what_a_handler_logs_in_its_process_is_json(ran):
    (_,), process = ran("killer", {}, JOBTIDE_RETRY_BASE_SECONDS="600")
    assert all(json.loads(line) for line in process.log.read_text().splitlines())


def test_a_fork_in_the_process_ends_without_an_end_of_the_job(ran):
    (row,), _ = ran("process", {"end": "fork"})
    assert (row["status"], row["result"]) == ("completed", 5)


def test_a_killed_process_harms_no_neighbour_and_its_job_fails(ran):
    rows, process = ran("killer", {}, {}, JOBTIDE_RETRY_BASE_SECONDS="0.01")
    assert process.popen.poll() is None
    assert all("killed by SIGKILL" in row["result"]["error"]["message"] for row in rows)
