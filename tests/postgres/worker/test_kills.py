"""SIGKILL at every named point of the worker's cycle: each job ends exactly once, its side effects come at least once.

The successor has the same pod UID, as a container that is started again in its pod.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.postgres.worker.conftest import HANDLERS, Process

pytest_plugins = ["tests.postgres.worker.audit"]

JOBS = 24
POINTS = [
    "before the claim",
    "claim sent",
    "claimed",
    "in the handler",
    "handler returned",
    "end queued",
    "finish sent",
    "finished",
    "extending",
    "draining",
    "giving back",
]
IN_A_DRAIN = {"draining", "giving back"}


@pytest.fixture
def dying_worker(database, tmp_path):
    """dying_worker(point) -> a worker process that kills itself there; "" lives."""
    running = []

    def start(point):
        log = tmp_path / f"dying-{len(running)}.log"
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")},
            "JOBTIDE_DATABASE_URL": database,
            "JOBTIDE_POD_UID": "pod-1",
            "JOBTIDE_HTTP_PORT": "0",
            "JOBTIDE_POLL_SECONDS": "0.05",
            "JOBTIDE_LEASE_SECONDS": "1" if point == "extending" else "60",
            "JOBTIDE_DRAIN_SECONDS": "0",
        }
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-c", "import dying; dying.main()", point], cwd=HANDLERS, env=variables, stderr=output
            )
        running.append(Process(popen, log))
        return running[-1]

    yield start
    for process in running:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.wait(60)


@pytest.fixture
def jobs(tenant, enqueue, tmp_path):
    owners = [tenant() for _ in range(3)]
    return {
        enqueue("note", owners[number % 3], {"file": str(tmp_path / "notes"), "line": f"job-{number}"})
        for number in range(JOBS)
    }


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_here_loses_nothing_and_ends_nothing_twice(
    dying_worker, jobs, notes, ends, statuses, wait_until, point
):
    dying = dying_worker(point)
    if point in IN_A_DRAIN:
        wait_until(lambda: len(notes()) >= 4)
        dying.popen.send_signal(signal.SIGTERM)
    assert dying.popen.wait(60) == -signal.SIGKILL, dying.log.read_text()
    assert statuses().get("completed", 0) < JOBS
    dying_worker("")
    wait_until(lambda: statuses() == {"completed": JOBS})
    assert ends() == dict.fromkeys(jobs, 1)
    assert set(notes()) == {f"job-{number}" for number in range(JOBS)}
