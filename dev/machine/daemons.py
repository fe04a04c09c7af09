"""Processes that outlive the command that started them, found again by a mark in their environment.

A pid file can be lost between a start and its writing, and its number can be taken by a stranger later.
The mark can't: the kernel keeps it with the process, children inherit it, and a pidfd holds the very
process that was looked at until the signal is sent.
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
    """All processes of one group; the group is the folder that holds their state."""

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
        # The kernel reports a started program a moment before it shows the environment.
        wait_until(f"the start of {name}", lambda: process.poll() is not None or self._owns(process.pid, name))
        # It may end before we do, and an unreaped process would keep its id.
        threading.Thread(target=process.wait, daemon=True).start()

    def running(self, name: str | None = None) -> set[int]:
        """The live processes of this group, or those of them that were started as `name`."""
        return {pid for pid in process_ids() if self._owns(pid, name)}

    def kill(self, name: str | None = None) -> None:
        """Returns when none is left: what they kept is about to be deleted, so nothing is asked politely."""

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
        except OSError:  # it ended while we looked
            return False
        group = f"{GROUP_VARIABLE}={self.directory}".encode()
        return group in marks and (name is None or f"{NAME_VARIABLE}={name}".encode() in marks)


def process_ids(proc: Path = PROC) -> list[int]:
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]


@contextlib.contextmanager
def open_process(pid: int) -> Iterator[int | None]:
    """A handle on the process that has this id now, or None when there is none."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
