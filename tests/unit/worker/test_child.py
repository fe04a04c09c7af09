"""Processes of handlers, without a worker around them: what their death means, and what stays behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from uuid import UUID

import pytest

from jobtide.context import Context
from jobtide.errors import ProcessDied, ProcessNotReady
from jobtide.job import Job
from jobtide.programs import child as child_module
from jobtide.programs.child import Children

pytestmark = pytest.mark.slow

APPLICATION = """
import os, signal
from pathlib import Path
from jobtide import Tide
tide = Tide()

@tide.job("kill", process=True)
def kill(payload):
    if payload:
        Path(payload).write_text("low 0\\noom_kill 1\\n")
    os.kill(os.getpid(), signal.SIGKILL)

@tide.job("echo", process=True)
def echo(payload):
    return payload

@tide.job("small", process=True, memory_bytes=100_000)
def small(payload):
    return payload
"""


@pytest.fixture
def tide(tmp_path, monkeypatch):
    (tmp_path / "app_of_children.py").write_text(APPLICATION)
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("app_of_children").tide
    del sys.modules["app_of_children"]


@pytest.fixture
def run(tide):
    children = Children("app_of_children:tide", max_result_bytes=20_000_000, log_level="error", pool="", pod="")

    def run_job(type_, payload=None):
        handler = tide.handlers[type_]
        with children.child(handler) as child:
            return child.run(Context(Job(UUID(int=1), UUID(int=2), type_, payload, 1, "jobtide:p:n")))

    yield run_job
    for idle in children._idle.values():
        while idle:
            idle.pop().end()


@pytest.mark.parametrize(
    ("writes", "error"),
    [
        pytest.param(True, ProcessNotReady, id="a kill for want of memory: no proof against the job"),
        pytest.param(False, ProcessDied, id="any other"),
    ],
)
def test_a_kill_by_the_kernel_for_want_of_memory_is_no_proof(run, tmp_path, monkeypatch, writes, error):
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom_kill 0\n")
    monkeypatch.setattr(child_module, "_OOM_EVENTS", events)
    with pytest.raises(error):
        run("kill", str(events) if writes else None)


def test_a_process_without_the_memory_to_import_the_application_is_not_ready(run):
    with pytest.raises(ProcessNotReady, match="could not import the application"):
        run("small")


@pytest.mark.parametrize("size", [0, 1, 70_000, 5_000_000])
def test_payloads_and_results_of_any_size_pass(run, size):
    assert run("echo", "ü" * size) == "ü" * size


def test_no_descriptor_and_no_process_stays_behind(run):
    with pytest.raises(ProcessDied):
        run("kill")
    before = _descriptors_and_children()
    for _ in range(3):
        with pytest.raises(ProcessDied):
            run("kill")
    assert _descriptors_and_children() == before


def test_an_idle_process_that_died_is_replaced(run):
    run("echo")
    (pid,) = _descriptors_and_children()[1].split()
    os.kill(int(pid), signal.SIGKILL)
    os.waitid(os.P_PID, int(pid), os.WEXITED | os.WNOWAIT)
    assert run("echo", 7) == 7


def _descriptors_and_children():
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    return len(list(Path("/proc/self/fd").iterdir())), children.read_text()


def test_a_process_that_the_system_refuses_is_no_proof_against_its_job(run, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ProcessNotReady, match="could be started: No such file or directory"):
        run("echo")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
