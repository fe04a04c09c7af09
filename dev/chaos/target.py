"""What a fault strikes."""

from __future__ import annotations

from dataclasses import dataclass

from dev.machine.errors import DevError


class NoTargetError(DevError):
    """Nothing was there to be struck: the fault is skipped."""


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    uid: str = ""  # of a pod
