"""Starts processes that outlive the command, and finds them again by a mark in their environment.

A pid file can be lost before it is written, and its number can later belong to another process. The kernel keeps the
mark with the process, children inherit it, and a pidfd refers to the process that was checked until the signal is sent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.machine.shell import Argument
from dev.machine.wait import wait_until

GROUP_VARIABLE = "JOBTIDE_DAEMON_GROUP"
NAME_VARIABLE = "JOBTIDE_DAEMON_NAME"
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Daemons:
    """All processes of one group. The group is the folder that holds their state."""

    directory: Path

    def log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def start(self, name: str, command: Sequence[Argument]) -> None:
        """Detached from the terminal, its output in `log(name)`."""
        self.log(name).parent.mkdir(parents=True, exist_ok=True)
        marks = {GROUP_VARIABLE: str(self.directory), NAME_VARIABLE: name}
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [str(argument) for argument in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**os.environ, **marks},
                start_new_session=True,
            )
        # The kernel shows a started program a moment before its environment.
        wait_until(f"the start of {name}", lambda: process.poll() is not None or self._owns(process.pid, name))
        # It may end before this process, and its id would stay in use until it is reaped.
        threading.Thread(target=process.wait, daemon=True).start()

    def running(self, name: str | None = None) -> set[int]:
        """The live processes of this group, or those of them that were started as `name`."""
        return {pid for pid in process_ids() if self._owns(pid, name)}

    def kill(self, name: str | None = None) -> None:
        """SIGKILL; returns when none is left. Their files are deleted next, so they need no time to shut down."""

        def none_left() -> bool:
            living = self.running(name)
            for pid in living:
                self._kill_if_owned(pid, name)
            return not living

        wait_until(f"the end of {name or 'every process'} of {self.directory}", none_left, within_seconds=30)

    def _kill_if_owned(self, pid: int, name: str | None) -> None:
        with open_process(pid) as descriptor:
            if descriptor is not None and self._owns(pid, name):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)

    def _owns(self, pid: int, name: str | None) -> bool:
        try:
            marks = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:  # it has just ended
            return False
        group = f"{GROUP_VARIABLE}={self.directory}".encode()
        return group in marks and (name is None or f"{NAME_VARIABLE}={name}".encode() in marks)


def process_ids(proc: Path = PROC) -> list[int]:
    """Returns the ids of all processes; each may end at any time."""
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]


@contextlib.contextmanager
def open_process(pid: int) -> Iterator[int | None]:
    """A handle on the process that has this id now; None if there is none."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
