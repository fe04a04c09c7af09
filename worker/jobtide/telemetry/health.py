"""What the probes of a worker look at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Health:
    """What the probes read. Times are time.monotonic(), in seconds."""

    passed_at: float  # when the claim loop began its last pass
    polled: bool = False  # the database answered the last poll
