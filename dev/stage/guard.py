"""Undoes what was done to a process or a network, also if this process is killed first."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence

from dev.machine.shell import Argument

# Runs the command when its standard input is closed, which also happens when this process is killed.
_GUARDED = 'cat >/dev/null; exec "$@"'


@contextlib.contextmanager
def undone_at_the_end(undo: Sequence[Argument]) -> Iterator[None]:
    """Runs the command `undo` at the end of the block. It may fail: what it would restore may have ended."""
    command = ["sh", "-c", _GUARDED, "guard", *map(str, undo)]
    guard = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this process, which then runs `undo`
    )
    assert guard.stdin is not None
    try:
        yield
    finally:
        guard.stdin.close()
        guard.wait()


@contextlib.contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """Stops these processes inside the block. A stopped process keeps its id, so SIGCONT reaches the right ones."""
    pids = list(pids)
    with undone_at_the_end(["kill", "-CONT", *map(str, pids)]):
        for pid in pids:
            send(pid, signal.SIGSTOP)
        yield


def send(pid: int, number: signal.Signals) -> None:
    """Sends a signal, unless the process has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
