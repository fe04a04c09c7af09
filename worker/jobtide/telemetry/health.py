"""What the probes of a worker look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Health:
    """What the probes read. Times are time.monotonic(), in seconds."""

    passed_at: float  # when the claim loop began its last pass
    polled: bool = False  # the database answered the last poll
    refusal: str = ""  # why it did not
    unwritten: Callable[[float], str] = lambda now: ""  # noqa: ARG005 - words about ends that wait too long, or ""
