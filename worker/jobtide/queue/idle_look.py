"""How an idle worker looks for due jobs: tenant by tenant, or row by row.

A claim walks from tenant to tenant, which costs 4 us each, however many rows they have: for ten thousand tenants with
one scheduled job each, 45 ms for nothing. Row by row (sql/any_due.sql) that is under 1 ms; but a tenant with a
million scheduled jobs is about 60 ms row by row, and one step of the walk. So both are measured, and the look comes
first where it takes less than half the time.
"""

from __future__ import annotations

import math

_WORTH_SECONDS = 0.002  # a walk that takes less needs no look before it
_MEASURED_AGAIN_SECONDS = 60.0  # rows come and go: a look that was slower is tried again after this


class IdleLook:
    """What one worker has measured. `now` is time.monotonic()."""

    def __init__(self) -> None:
        self._walk_seconds = 0.0
        self._look_seconds = 0.0
        self._looked_at = -math.inf

    def is_worth(self, now: float) -> bool:
        """Whether to look row by row before the next claim."""
        if self._walk_seconds < _WORTH_SECONDS:
            return False
        return 2 * self._look_seconds < self._walk_seconds or now - self._looked_at >= _MEASURED_AGAIN_SECONDS

    def looked(self, seconds: float, now: float) -> None:
        """A look took this long, and ended at `now`. Also one that found a job: behind dead rows that is slow too."""
        self._look_seconds, self._looked_at = seconds, now

    def walked(self, seconds: float, *, drained: bool) -> None:
        """A claim took this long. After one that left jobs the next finds some: it needs no look."""
        self._walk_seconds = seconds if drained else 0.0
