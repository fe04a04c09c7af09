"""Faults overlap, follow each other where they must, and are always undone."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dev.chaos.plan import Fault, Kind
from dev.chaos.strikes import Striker
from dev.chaos.target import NoTargetError, Target
from dev.machine.errors import DevError
from dev.machine.wait import wait_until
from dev.stage.guard import frozen, undone_at_the_end
from dev.stage.processes import Process, processes_of

POD = "0c5e8f7e-1111-2222-3333-444455556666"


@dataclass(slots=True)
class Scripted:
    """Records faults instead of striking."""

    absent: set[Kind] = field(default_factory=set)
    stays_broken: set[Kind] = field(default_factory=set)
    now: set[Kind] = field(default_factory=set)
    together: set[frozenset[Kind]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def struck(self, fault: Fault) -> Iterator[Target]:
        if fault.kind in self.absent:
            raise NoTargetError("no target")
        with self.lock:
            self.now.add(fault.kind)
            self.together.add(frozenset(self.now))
        try:
            yield Target("it")
        finally:
            with self.lock:
                self.now.discard(fault.kind)
        if fault.kind in self.stays_broken:
            raise DevError("it did not recover")


def a_fault(kind: Kind, *, lasts_seconds: float = 0.2, waits: bool = False) -> Fault:
    return Fault(kind, 0.0, lasts_seconds, waits, 0.0)


def struck(*faults: Fault, scripted: Scripted, seconds: float = 30) -> Striker:
    striker = Striker(scripted, lambda: True, until=time.time() + seconds)
    striker.run(faults)
    return striker


def test_faults_overlap_unless_they_wait_or_strike_the_same() -> None:
    scripted = Scripted()
    killed, cut = a_fault(Kind.ETCD_KILLED), a_fault(Kind.WORKER_CUT_FROM_POSTGRES)
    same, later = a_fault(Kind.POSTGRES_FROZEN), a_fault(Kind.POSTGRES_KILLED)
    waiting = a_fault(Kind.KUBELET_FROZEN, waits=True)

    course = struck(killed, cut, same, later, waiting, scripted=scripted).course

    assert {strike.fault for strike in course.strikes} == {killed, cut, same, later, waiting}
    assert frozenset({killed.kind, cut.kind, same.kind}) in scripted.together
    assert not any({same.kind, later.kind} <= kinds for kinds in scripted.together)
    assert [kinds for kinds in scripted.together if waiting.kind in kinds] == [{waiting.kind}]
    assert all(strike.healed_at - strike.struck_at >= 0.2 for strike in course.strikes)


def test_a_missing_target_is_skipped_and_one_that_stays_broken_is_reported() -> None:
    absent, broken = a_fault(Kind.WORKER_KILLED), a_fault(Kind.ETCD_KILLED)

    course = struck(absent, broken, scripted=Scripted({absent.kind}, {broken.kind})).course

    assert course.skipped == [(absent, "no target")]
    assert [(strike.fault, strike.broken) for strike in course.strikes] == [(broken, "it did not recover")]


def test_no_fault_strikes_after_the_end() -> None:
    course = struck(a_fault(Kind.ETCD_KILLED), scripted=Scripted(), seconds=-1).course

    assert (course.strikes, course.not_reached) == ([], 1)


def test_a_frozen_process_continues_after_the_block() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            with frozen([process.pid]):
                wait_until("it being stopped", lambda: state_of(process.pid) == "T", within_seconds=10)
            wait_until("it running", lambda: state_of(process.pid) == "S", within_seconds=10)
        finally:
            process.kill()


def test_a_fault_is_undone_even_if_its_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys; from dev.stage.guard import undone_at_the_end\n"
        "with undone_at_the_end(['touch', sys.argv[1]]): print('done', flush=True); sys.stdin.read()"
    )
    undone = tmp_path / "undone"
    command = [sys.executable, "-c", script, str(undone)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        assert not undone.exists()
        process.send_signal(signal.SIGKILL)
        wait_until("the undoing", undone.exists, within_seconds=10)


def test_an_undo_that_fails_is_no_error() -> None:
    with undone_at_the_end(["false"]):
        pass


@pytest.mark.parametrize(
    ("command", "words", "runs"),
    [
        pytest.param(
            ("/usr/bin/python3", "/opt/jobtide/bin/jobtide", "worker"), ("jobtide", "worker"), True, id="worker"
        ),
        pytest.param(("/opt/postgres/bin/postgres", "-D", "/data"), ("postgres", "-D"), True, id="server"),
        pytest.param(("postgres: demo_worker main",), ("postgres", "-D"), False, id="its-backend"),
        pytest.param(("python3", "/opt/bin/jobtide-controller"), ("jobtide", "worker"), False, id="controller"),
        pytest.param(("",), ("jobtide",), False, id="a-kernel-thread"),
    ],
)
def test_a_command_is_recognised_by_its_name(command: tuple[str, ...], words: tuple[str, ...], runs: bool) -> None:
    assert Process(1, command).runs(*words) == runs


def test_a_pods_processes_are_those_in_its_cgroup(tmp_path: Path) -> None:
    in_pod, beside = f"4:cpu:/kubepods/burstable/pod{POD}/abc", "4:cpu:/user.slice"
    for pid, cgroup, command in [(12, in_pod, "jobtide\0worker\0"), (7, in_pod, "sleep\0"), (9, beside, "sleep\0")]:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cgroup").write_text(cgroup)
        (tmp_path / str(pid) / "cmdline").write_text(command)

    assert [process.pid for process in processes_of(POD, proc=tmp_path)] == [7, 12]
    assert [process.pid for process in processes_of(POD, "jobtide", "worker", proc=tmp_path)] == [12]


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
