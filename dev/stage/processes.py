"""The processes of a pod as the host sees them, and its network: faults here need no API server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dev.machine.daemons import PROC, process_ids
from dev.machine.errors import DevError
from dev.machine.shell import Argument, run
from dev.stage.guard import undone_at_the_end

TABLE = "jobtide_chaos"
_CUT = """
table inet {table} {{
    chain output {{ type filter hook output priority 0; tcp dport {{ {ports} }} drop; }}
    chain input {{ type filter hook input priority 0; tcp sport {{ {ports} }} drop; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Process:
    """A process on this machine, and the command that it runs."""

    pid: int
    command: tuple[str, ...]

    def runs(self, *words: str) -> bool:
        """True if its command has these words in a row; a program counts by its name, without the folder."""
        names = [self.command[0].rpartition("/")[2], *self.command[1:]] if self.command else []
        names = [name.rpartition("/")[2] for name in names[:2]] + names[2:]
        return any(names[start : start + len(words)] == list(words) for start in range(len(names)))


def processes_of(pod_uid: str, *words: str, proc: Path = PROC) -> list[Process]:
    """The processes of this pod that run this command, the oldest first; none if the pod is on another machine."""
    found = [
        Process(pid, _command(proc, pid))
        for pid in sorted(process_ids(proc))
        if f"/pod{pod_uid}/" in _cgroups(proc, pid)
    ]
    return [process for process in found if not words or process.runs(*words)]


@contextlib.contextmanager
def cut_off(pod_uid: str, ports: tuple[int, ...]) -> Iterator[None]:
    """Drops all packets between the pod and these ports: a partition, not a refusal."""
    living = processes_of(pod_uid)
    if not living:
        raise DevError(f"pod {pod_uid} has no process on this machine, so its network can't be cut")
    enter = _enter_network(living[0].pid)
    run(
        [*enter, "nft", "-f", "-"],
        input_text=_CUT.format(table=TABLE, ports=", ".join(map(str, ports))),
    )
    with undone_at_the_end([*enter, "nft", "delete", "table", "inet", TABLE]):
        yield


def _enter_network(pid: int) -> list[Argument]:
    """Raises DevError for a process in the machine's own network, which must not be cut."""
    network = PROC / str(pid) / "ns" / "net"
    if network.readlink() == (PROC / "self" / "ns" / "net").readlink():
        raise DevError(f"process {pid} is in the machine's own network, which must not be cut")
    return ["nsenter", f"--net={network}"]


def _cgroups(proc: Path, pid: int) -> str:
    with contextlib.suppress(OSError):  # it has just ended
        return (proc / str(pid) / "cgroup").read_text()
    return ""


def _command(proc: Path, pid: int) -> tuple[str, ...]:
    with contextlib.suppress(OSError):
        return tuple((proc / str(pid) / "cmdline").read_text(errors="replace").rstrip("\0").split("\0"))
    return ()
