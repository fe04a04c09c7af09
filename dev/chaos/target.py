"""The target of a fault."""

from __future__ import annotations

from dataclasses import dataclass

from dev.machine.errors import DevError


class NoTargetError(DevError):
    """There is no target: the fault is skipped."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a fault struck: a pod, or a process by its name."""

    name: str
    uid: str = ""  # of a pod
