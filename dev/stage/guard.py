"""Undoes what was done to a process or a network, also when this process dies first."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence

from dev.machine.shell import Argument

# Closing its standard input, also by dying, is how this process lets go.
_GUARDED = 'cat >/dev/null; exec "$@"'


@contextlib.contextmanager
def undone_at_the_end(undo: Sequence[Argument]) -> Iterator[None]:
    """Runs `undo` when the block is left. That it fails is no fault: what it would mend may have ended meanwhile."""
    command = ["sh", "-c", _GUARDED, "guard", *map(str, undo)]
    guard = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us, who let go then
    )
    assert guard.stdin is not None
    try:
        yield
    finally:
        guard.stdin.close()
        guard.wait()


@contextlib.contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """They stand still inside the block; a stopped process keeps its number, so that the right ones go on."""
    pids = list(pids)
    with undone_at_the_end(["kill", "-CONT", *map(str, pids)]):
        for pid in pids:
            send(pid, signal.SIGSTOP)
        yield


def send(pid: int, number: signal.Signals) -> None:
    """A process that has ended by itself needs no signal."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
