from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev.machine.shell import CommandError
from dev.machine.wait import wait_until
from dev.stage.kubectl import Kubectl
from dev.stage.tunnel import Tunnel

SOON = {"within_seconds": 10, "poll_seconds": 0.01}
FORWARDS = """#!/bin/sh
echo $$ >> "$2"
echo "Forwarding from 127.0.0.1:$((40000 + $(wc -l < "$2"))) -> 5432"
exec sleep 600
"""
REFUSES = """#!/bin/sh
echo "error: unable to forward port because pod is not running"
exit 1
"""


@pytest.fixture
def tunnel_of(tmp_path: Path) -> Iterator[Callable[[str], Tunnel]]:
    """A tunnel through a program that writes its process id where a kubeconfig would be."""
    made: list[Tunnel] = []

    def make(script: str) -> Tunnel:
        program = tmp_path / "kubectl"
        program.write_text(script)
        program.chmod(0o755)
        made.append(Tunnel(Kubectl(program, tmp_path / "pids"), "service/pg", 5432))
        return made[-1]

    yield make
    for tunnel in made:
        tunnel.close()


def pids(tmp_path: Path) -> list[int]:
    return [int(line) for line in (tmp_path / "pids").read_text().split()]


def wait_until_gone(pid: int) -> None:
    wait_until(f"the end of process {pid}", lambda: not Path(f"/proc/{pid}").exists(), **SOON)


def test_one_program_serves_until_it_ends(tunnel_of: Callable[[str], Tunnel], tmp_path: Path) -> None:
    tunnel = tunnel_of(FORWARDS)

    assert (tunnel.port(), tunnel.port()) == (40001, 40001)
    assert len(pids(tmp_path)) == 1


def test_a_program_that_ended_is_replaced_by_another(tunnel_of: Callable[[str], Tunnel], tmp_path: Path) -> None:
    tunnel = tunnel_of(FORWARDS)
    tunnel.port()
    (pid,) = pids(tmp_path)

    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)

    # The guard ends a moment after it.
    assert wait_until("another port", lambda: tunnel.port() != 40001 and tunnel.port(), **SOON) == 40002


def test_closing_ends_the_program(tunnel_of: Callable[[str], Tunnel], tmp_path: Path) -> None:
    tunnel = tunnel_of(FORWARDS)
    tunnel.port()

    tunnel.close()

    wait_until_gone(pids(tmp_path)[0])


def test_a_refusal_shows_the_programs_own_words(tunnel_of: Callable[[str], Tunnel]) -> None:
    with pytest.raises(CommandError, match=r"no tunnel to service/pg in namespace default.*pod is not running"):
        tunnel_of(REFUSES).port()
