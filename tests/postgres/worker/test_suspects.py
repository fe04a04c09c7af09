"""A crash of a worker's process: only the job that causes it can fail, its neighbours run apart and complete.

Containers are started again in their pod: each worker here has the same pod UID.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb

pytestmark = pytest.mark.any_version

APP = "suspects:tide"
POD = {"JOBTIDE_POD_UID": "pod-1"}


@pytest.fixture
def supervise(worker, wait_until):
    """supervise(done) starts workers of one pod, a new one after each crash, until done(); the number of crashes."""

    def run(done, **environment):
        crashes, process = 0, worker(APP, **POD, **environment)

        def step():
            nonlocal crashes, process
            if process.popen.poll() is not None:
                assert process.popen.returncode == -signal.SIGKILL, process.log.read_text()
                crashes += 1
                process = worker(APP, **POD, **environment)
            return done(crashes)

        wait_until(step)
        return crashes, process

    return run


def pids(file):
    return file.read_text().split() if file.exists() else []


def test_a_job_that_kills_its_process_fails_alone_and_ten_neighbours_complete(
    supervise, enqueue, tenant, row, statuses, tmp_path
):
    neighbours = [enqueue("harmless", tenant(), {"begun": str(tmp_path / "begun")}) for _ in range(10)]
    killer = enqueue("killer", tenant())
    crashes, process = supervise(lambda _: statuses() == {"completed": 10, "failed": 1})
    assert crashes == 1
    assert (row(killer)["status"], row(killer)["attempts"]) == ("failed", 3)
    assert "killed by SIGKILL" in row(killer)["result"]["error"]["message"]
    assert {row(id_)["attempts"] for id_ in neighbours} == {1}
    assert process.logged("a crash of its worker took this job along; it runs in a process now")


def test_neighbours_that_ran_in_the_crash_have_their_attempt_back_and_run_in_processes(
    supervise, enqueue, tenant, row, statuses, tmp_path
):
    """With one try each: the crash must not cost it."""
    begun, until = tmp_path / "begun", tmp_path / "until"
    payload = {"begun": str(begun), "until": str(until)}
    neighbours = [enqueue("harmless", tenant(), payload) for _ in range(2)]
    neighbours.append(enqueue("harmless.async", tenant(), payload))
    killer = enqueue("killer", tenant(), {"when": str(tmp_path / "kill")})

    def done(_):
        if len(pids(begun)) >= 3:
            (tmp_path / "kill").touch()
        if len(pids(begun)) >= 6:
            until.touch()
        return statuses() == {"completed": 3, "failed": 1}

    crashes, process = supervise(done)
    assert crashes == 1
    assert row(killer)["attempts"] == 3
    for id_ in neighbours:
        assert row(id_)["attempts"] == 1
        assert row(id_)["result"]["pid"] != process.popen.pid


def test_what_kills_the_worker_from_any_process_fails_alone_and_its_neighbours_complete(
    supervise, enqueue, tenant, row, statuses, tmp_path
):
    begun, until = tmp_path / "begun", tmp_path / "until"
    payload = {"begun": str(begun), "until": str(until)}
    neighbours = [enqueue("harmless", tenant(), payload) for _ in range(3)]
    killer = enqueue("kills.worker", tenant(), {"begun": str(begun), "runs": str(tmp_path / "runs")})

    def done(crashes):
        if crashes >= 2:  # both times all four ran; from here on each runs alone
            until.touch()
        return statuses() == {"completed": 3, "failed": 1}

    crashes, _ = supervise(done)
    assert crashes == 2 + 3
    assert (row(killer)["status"], row(killer)["attempts"]) == ("failed", 3)
    assert {row(id_)["attempts"] for id_ in neighbours} == {1}


@pytest.fixture
def suspect(enqueue, tenant):
    """suspect(level, type, payload) -> the id of a job that so many crashes took along."""

    def new(level, type_, payload, owner=None):
        return enqueue(
            type_, owner or tenant(), payload, result=Jsonb({"error": {"type": "WorkerDied"}, "suspect": level})
        )

    return new


def test_a_suspect_of_two_crashes_runs_alone_in_the_worker_itself(
    worker, suspect, enqueue, tenant, row, connect, statuses, tmp_path, wait_until
):
    begun, until = tmp_path / "begun", tmp_path / "until"
    payload = {"begun": str(begun), "until": str(until)}
    alone = suspect(2, "harmless", payload)
    others = [enqueue("harmless", tenant(), {"begun": str(tmp_path / "others")}) for _ in range(5)]
    process = worker(APP)
    wait_until(begun.exists)
    running = "SELECT count(*) FROM job_queue WHERE status = 'processing'"  # the ends of the others may come later
    watching = connect()
    wait_until(lambda: watching.execute(running).fetchone() == (1,))
    until.touch()
    wait_until(lambda: statuses() == {"completed": 6})
    assert row(alone)["result"] == {"pid": process.popen.pid}
    assert {row(id_)["attempts"] for id_ in (alone, *others)} == {1}
    assert process.logged("it runs alone now")


def test_a_crash_while_a_suspect_waits_to_run_alone_costs_it_no_attempt(
    worker, suspect, enqueue, tenant, row, tmp_path, wait_until
):
    """With one try: the first crash that counted would end it as failed."""
    killer = enqueue("killer", tenant(), {"when": str(tmp_path / "kill")})
    crashing = worker(APP, **POD)
    wait_until(lambda: row(killer)["status"] == "processing")
    waiting = suspect(2, "harmless", {"begun": str(tmp_path / "begun")})
    wait_until(lambda: row(waiting)["status"] == "processing")
    (tmp_path / "kill").touch()
    crashing.popen.wait(60)
    worker(APP, **POD)
    wait_until(lambda: row(waiting)["status"] == "completed")


def test_a_job_that_kills_its_worker_alone_runs_out_of_attempts(supervise, suspect, row):
    id_ = suspect(2, "killer", {})
    crashes, _ = supervise(lambda _: row(id_)["status"] == "failed")
    assert (crashes, row(id_)["attempts"]) == (3, 3)
    assert "gave up after 3 attempts" in row(id_)["result"]["error"]["message"]


def test_a_job_that_proved_to_kill_its_process_stays_apart(supervise, suspect, row):
    id_ = suspect(1, "killer", {})
    crashes, process = supervise(lambda _: row(id_)["status"] == "failed")
    assert (crashes, row(id_)["attempts"]) == (0, 3)
    assert process.popen.poll() is None


def test_a_suspect_that_ends_by_itself_is_one_no_more(worker, suspect, row, wait_until):
    id_ = suspect(1, "returns nothing", {})
    broken = suspect(1, "harmless", {})  # raises KeyError; one attempt
    worker(APP)
    wait_until(lambda: row(id_)["status"] == "completed" and row(broken)["status"] == "failed")
    assert row(id_)["result"] is None
    assert "suspect" not in row(broken)["result"]
    assert row(broken)["result"]["error"]["type"] == "KeyError"


def test_the_mark_survives_the_progress_of_a_suspect(worker, suspect, row, wait_until, tmp_path):
    id_ = suspect(1, "harmless", {"begun": str(tmp_path / "begun"), "until": str(tmp_path / "until")})
    worker(APP, JOBTIDE_LEASE_SECONDS="1")
    progress = {"progress": {"fraction": 0.5, "note": ""}, "suspect": 1}
    wait_until(lambda: row(id_)["result"] == progress)
    (tmp_path / "until").touch()
    wait_until(lambda: row(id_)["status"] == "completed")


@pytest.mark.parametrize("mark", ["2", True, 4, -1, 10**30, None, [2], {"a": 1}, 2.0], ids=json.dumps)
def test_a_mark_that_no_rescue_wrote_changes_nothing(worker, enqueue, tenant, row, wait_until, tmp_path, mark):
    payload = {"begun": str(tmp_path / "begun")}
    id_ = enqueue("harmless", tenant(), payload, result=Jsonb({"suspect": mark}))
    process = worker(APP)
    wait_until(lambda: row(id_)["status"] == "completed")
    assert row(id_)["result"] == {"pid": process.popen.pid}


@pytest.mark.parametrize(
    ("before", "mark", "attempts"),
    [
        pytest.param(None, 1, 0, id="the first crash: not counted"),
        pytest.param({"suspect": 1}, 2, 0, id="the second: not counted"),
        pytest.param({"suspect": 2}, 2, 0, id="while it waited to run alone: not counted"),
        pytest.param({"suspect": 3}, 2, 1, id="alone: counted"),
        pytest.param({"suspect": "x"}, 1, 0, id="a forged mark"),
        pytest.param([1], 1, 0, id="a result that is no object"),
        pytest.param("text", 1, 0, id="a result that is a text"),
    ],
)
@pytest.mark.parametrize("how", ["own pod", "expired"])
def test_a_rescue_marks_suspects_and_counts_only_what_ran_alone(
    queue, enqueue, tenant, row, before, mark, attempts, how
):
    id_ = enqueue("a", tenant(), status="processing", worker_id="jobtide:pod-1:x", attempts=1, result=Jsonb(before))
    one = queue("pod-1")
    if how == "own pod":
        one.rescue_own_pod()
    else:
        one._session.execute("UPDATE job_queue SET next_retry_at = now() - interval '1 s' RETURNING id", {})
        one.rescue_expired(10)
    assert (row(id_)["status"], row(id_)["attempts"], row(id_)["result"]["suspect"]) == ("pending", attempts, mark)


def test_many_forged_suspects_do_not_stop_the_jobs_of_others(
    worker, suspect, enqueue, tenant, row, tmp_path, wait_until
):
    forger, begun = tenant(), str(tmp_path / "begun")
    for _ in range(20):
        suspect(2, "harmless", {"begun": begun}, forger)
    others = [enqueue("harmless", tenant(), {"begun": begun}) for _ in range(20)]
    worker(APP)
    wait_until(lambda: all(row(id_)["status"] == "completed" for id_ in others))


def test_a_drain_requeues_a_suspect_that_waits_to_run_alone(
    worker, suspect, enqueue, tenant, row, tmp_path, wait_until
):
    first = enqueue("harmless", tenant(), {"begun": str(tmp_path / "first"), "until": str(tmp_path / "until")})
    process = worker(APP)
    wait_until((tmp_path / "first").exists)
    waiting = suspect(2, "harmless", {"begun": str(tmp_path / "second")})
    wait_until(lambda: row(waiting)["status"] == "processing")
    process.popen.send_signal(signal.SIGTERM)
    wait_until(lambda: row(waiting)["status"] == "pending")
    assert (row(waiting)["attempts"], row(waiting)["result"]["suspect"]) == (0, 2)
    (tmp_path / "until").touch()
    assert process.popen.wait(60) == 0
    assert row(first)["status"] == "completed"
    assert not Path(tmp_path / "second").exists()
