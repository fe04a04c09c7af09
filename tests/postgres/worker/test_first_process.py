"""A worker as process 1 of a container without an init, and probes over IPv6: each in namespaces of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres.worker.conftest import HANDLERS
from tests.postgres.worker.test_process import free_port

# As clone(2) of a container runtime: a PID namespace, with its own view of /proc; root in a user namespace may do so.
CONTAINER = ["unshare", "--user", "--map-root-user", "--pid", "--mount-proc", "--fork", "--kill-child"]


@pytest.fixture
def container(database, tmp_path):
    """container(app) -> (Popen of the container, its log); process 1 in it is the worker."""
    running = []

    def start(app):
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")},
            "JOBTIDE_DATABASE_URL": database,
            "JOBTIDE_HTTP_PORT": "0",
            "JOBTIDE_POLL_SECONDS": "0.1",
            "JOBTIDE_EXEC": '{"orphan": ["sh", "-c", "setsid sleep 0.1 >&- 2>&- & echo $!"]}',
        }
        log = tmp_path / "container.log"
        with log.open("wb") as output:
            running.append(
                subprocess.Popen(
                    [*CONTAINER, sys.executable, "-m", "jobtide", "worker", app],
                    cwd=HANDLERS,
                    env=variables,
                    stderr=output,
                    start_new_session=True,
                )
            )
        return running[-1], log

    yield start
    for one in running:
        if one.poll() is None:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait(60)


def first_process(popen):
    """The ID of the container's process 1, as it is seen outside."""
    (pid,) = Path(f"/proc/{popen.pid}/task/{popen.pid}/children").read_text().split()
    return int(pid)


def zombies_below(pid):
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        status = Path(f"/proc/{child}/status").read_text()
        found += [child] if "State:\tZ" in status else zombies_below(child)
    return found


def test_orphans_of_programs_are_reaped_by_a_worker_that_is_process_1(
    container, enqueue, tenant, row, statuses, wait_until
):
    owner = tenant()
    ids = [enqueue("orphan", owner) for _ in range(5)]
    popen, _ = container("forks:tide")
    wait_until(lambda: statuses() == {"completed": 5})
    orphans = {row(id_)["result"] for id_ in ids}
    assert all(orphans)
    wait_until(lambda: zombies_below(first_process(popen)) == [])


def test_sigterm_to_process_1_drains_the_worker_and_its_exit_code_is_that_of_the_container(
    container, enqueue, tenant, statuses, wait_until
):
    enqueue("echo", tenant())
    popen, log = container("forks:tide")
    wait_until(lambda: statuses() == {"completed": 1})
    os.kill(first_process(popen), signal.SIGTERM)
    assert popen.wait(60) == 0
    assert "stopping: 0 running jobs" in log.read_text()


def test_a_killed_worker_ends_its_container_with_the_code_of_the_signal(
    container, enqueue, tenant, statuses, wait_until
):
    enqueue("echo", tenant())
    popen, _ = container("forks:tide")
    wait_until(lambda: statuses() == {"completed": 1})
    first = first_process(popen)
    (worker,) = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    assert popen.wait(60) == 128 + signal.SIGKILL


def test_a_worker_that_cannot_start_ends_its_container_with_its_own_code(container):
    popen, log = container("no_such_module:tide")
    assert popen.wait(60) == 1
    assert "there is no module 'no_such_module'" in log.read_text()


PROBE = """
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(f"http://{sys.argv[1]}/livez", timeout=10).status)
"""


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_probes_are_answered_on_both_families(worker, wait_until, address):
    port = free_port()
    process = worker("forks:tide", JOBTIDE_HTTP_PORT=str(port))
    wait_until(lambda: process.logged("working on"))
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, f"{address}:{port}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert probe.stdout == "200\n", probe.stderr
