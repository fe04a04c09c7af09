"""`jobtide dev` with the PostgreSQL that it brings, and `jobtide enqueue` in the same folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress

import psutil
import psycopg
import pytest

from jobtide.commands.dev_folder import FOLDER, url_file

IDLE_BYTES = 250_000_000


@pytest.fixture(autouse=True)
def _remove_the_server_of_a_killed_session(folder):
    yield
    for process in family(folder):
        process.kill()
    shutil.rmtree((folder / FOLDER / "postgres").resolve(), ignore_errors=True)


@pytest.fixture
def add(folder):
    """add("echo"): one job, as from a second terminal; the sentence if it was refused."""

    def run(type_):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOBTIDE", "PG"))}
        command = [sys.executable, "-m", "jobtide", "enqueue", type_, "--tenant", "new"]
        return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False).stderr

    return run


@pytest.fixture
def ended(folder):
    """ended(): how many jobs have completed; None while the database does not answer."""

    def count():
        with suppress(OSError, psycopg.Error), psycopg.connect(url_file(folder).read_text().strip()) as connection:
            found = connection.execute("SELECT count(*) FROM job_queue WHERE status = 'completed'").fetchone()
            return found[0]

    return count


def family(folder):
    """All processes of the session in this folder: they work in it, or in what root's link leads to."""
    home = str((folder / FOLDER / "postgres").resolve())
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd().startswith((str(folder), home)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def postmaster(folder):
    return next(process for process in family(folder) if "postgres" in process.name() and "-D" in process.cmdline())


def start(dev, add, wait_until):
    process = dev("acme.jobs:tide", "-f", "pools.yaml", url=None)
    wait_until(lambda: process.says("can be read") or process.popen.poll() is not None)
    return process


def test_the_first_job_is_done_and_nothing_runs_afterwards(dev, folder, add, ended, wait_until):
    process = dev("acme.jobs:tide", url=None)
    wait_until(lambda: url_file(folder).exists() and not add("echo"))
    wait_until(ended)
    assert process.end() == 0
    wait_until(lambda: not family(folder))


def test_after_a_kill_of_everything_the_next_start_has_the_jobs(dev, folder, add, ended, wait_until):
    first = start(dev, add, wait_until)
    postgres = postmaster(folder)
    first.send(signal.SIGSTOP)  # so that no worker takes the job
    assert add("echo") == ""
    for process in (first.popen, postgres):
        os.kill(process.pid, signal.SIGKILL)
    first.popen.wait()
    second = start(dev, add, wait_until)
    wait_until(lambda: ended() == 1)
    assert second.end() == 0


def test_a_server_that_a_killed_session_left_does_not_stop_the_next_one(dev, folder, add, ended, wait_until):
    first = start(dev, add, wait_until)
    left = postmaster(folder)
    first.send(signal.SIGKILL)
    first.popen.wait()
    assert left.is_running()
    assert start(dev, add, wait_until).says("can be read")
    assert add("echo") == ""
    wait_until(lambda: ended() == 1)


def test_a_killed_postgres_is_started_again_and_the_pools_are_held_until_then(dev, folder, add, ended, wait_until):
    process = start(dev, add, wait_until)
    os.kill(postmaster(folder).pid, signal.SIGKILL)
    wait_until(lambda: process.says("it starts again"))
    wait_until(lambda: not add("echo"))
    wait_until(lambda: ended() == 1)


def test_pools_are_served_as_objects_with_their_status(dev, add, wait_until):
    process = start(dev, add, wait_until)

    def pool():
        with urllib.request.urlopen(f"{process.url}/pools") as answer:
            (item,) = json.load(answer)["items"]
        return item if item["status"].get("reason") == "Idle" else None

    item = wait_until(pool)
    assert (item["kind"], item["metadata"]["name"], item["spec"]["concurrency"]) == ("JobWorkerPool", "quick", 1)
    assert item["status"]["display"]["pending"] == "0"


def test_everything_idle_takes_less_than_250_megabytes(dev, folder, add, wait_until):
    start(dev, add, wait_until)
    assert sum(process.memory_full_info().pss for process in family(folder)) < IDLE_BYTES


def test_git_sees_nothing_of_the_folder(dev, folder, add, wait_until):
    start(dev, add, wait_until)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    listed = subprocess.run(["git", "status", "--porcelain"], cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    assert FOLDER not in listed.stdout
