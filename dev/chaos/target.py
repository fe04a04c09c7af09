"""The target of a fault."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from dev.machine.errors import DevError


class NoTargetError(DevError):
    """There is no target: the fault is skipped."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a fault struck: a pod, a process by its name, or jobs."""

    name: str
    uid: str = ""  # of a pod
    jobs: frozenset[UUID] = frozenset()  # if it struck these jobs alone
