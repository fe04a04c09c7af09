"""Only the database's clock counts: a worker whose clock is days off runs the same jobs, under the same leases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from dev.machine.system import ensure_packages
from tests.postgres.worker.conftest import HANDLERS

OFFSETS = [pytest.param("+3d", id="three days ahead"), pytest.param("-3d", id="three days behind")]


@pytest.fixture
def skewed_worker(database, tmp_path):
    """skewed_worker("+3d") -> a worker process with its clock set off."""
    ensure_packages({"faketime": "/usr/bin/faketime"})
    running = []

    def start(offset):
        command = ["faketime", "-m", "--exclude-monotonic", "-f", offset, sys.executable, "-m", "jobtide"]
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")},
            "JOBTIDE_DATABASE_URL": database,
            "JOBTIDE_HTTP_PORT": "0",
            "JOBTIDE_POLL_SECONDS": "0.05",
            "JOBTIDE_LEASE_SECONDS": "60",
        }
        with (tmp_path / "skewed.log").open("wb") as log:
            popen = subprocess.Popen(
                [*command, "worker", "jobs:tide"], cwd=HANDLERS, env=variables, stderr=log, start_new_session=True
            )
        running.append(popen)

    yield start
    for process in running:
        os.killpg(process.pid, signal.SIGKILL)  # faketime waits for its child
        process.wait(60)


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_skewed_clock_changes_neither_what_is_due_nor_when_leases_end(
    skewed_worker, enqueue, tenant, row, connect, wait_until, tmp_path, offset
):
    (now,) = connect().execute("SELECT now()").fetchone()
    due = enqueue("echo", tenant(), "now", next_retry_at=now - timedelta(seconds=1))
    soon = enqueue("echo", tenant(), "soon", next_retry_at=now + timedelta(hours=1))
    retried = enqueue("say", tenant(), {"end": "retry", "after": 600})
    held = enqueue("wait", tenant(), {"file": str(tmp_path / "never")})
    skewed_worker(offset)
    wait_until(lambda: row(due)["status"] == "completed" and row(retried)["attempts"] == 1)
    wait_until(lambda: row(held)["status"] == "processing" and row(retried)["status"] == "pending")
    minute = timedelta(minutes=1)
    assert row(due)["completed_at"] - now < minute
    assert timedelta() < row(held)["next_retry_at"] - now < 2 * minute
    assert 9 * minute < row(retried)["next_retry_at"] - now < 11 * minute
    assert (row(soon)["status"], row(soon)["attempts"]) == ("pending", 0)
    spoken = (tmp_path / "skewed.log").read_text()
    assert f'"time": "{now:%Y-%m-%d}' not in spoken  # its clock does show another day
