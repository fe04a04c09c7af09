"""The ends that are not in the table yet: how many, how large, since when. Full or stalled, it stops the claims.

Without a bound a worker whose ends can't be written would claim and run the whole queue: each job holds memory and
runs again elsewhere when its lease expires.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import monotonic

from jobtide.job import End

MOST_ENDS = 1_000
MOST_BYTES = 16 << 20
STALLED_SECONDS = 3.0


@dataclass(slots=True, eq=False)
class Waiting:
    """One end that is not written. Times are time.monotonic(), in seconds."""

    end: End
    since: float
    extend_at: float  # when the lease of its job is to be extended
    size: int
    uncertain: bool = False  # sent once, but the answer was lost: it may have committed
    tries: int = 0  # refusals of this end alone
    replaced: bool = False  # the end says that the server refused the first one
    reported: bool = False


class Backlog:
    """What the finisher and the claim loop know of unwritten ends. Thread-safe."""

    def __init__(
        self,
        lease_seconds: float,
        *,
        most_ends: int = MOST_ENDS,
        most_bytes: int = MOST_BYTES,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        self._lease_seconds = lease_seconds
        self._most_ends = most_ends
        self._most_bytes = most_bytes
        self._stalled_seconds = stalled_seconds
        self._lock = threading.Lock()
        self._since: float | None = None  # when the oldest end arrived that nothing but the database holds up
        self.count = 0
        self.bytes = 0

    def add(self, end: End) -> Waiting:
        """An end has arrived. At least a third of its lease is left when its extension is due."""
        now = monotonic()
        waiting = Waiting(end, now, now + self._lease_seconds / 3, len(end.result or ""))
        with self._lock:
            self.count += 1
            self.bytes += waiting.size
            if self._since is None:
                self._since = now
        return waiting

    def remove(self, waiting: list[Waiting]) -> None:
        """These are in the table, or given up."""
        with self._lock:
            self.count -= len(waiting)
            self.bytes -= sum(one.size for one in waiting)

    def resize(self, waiting: Waiting, end: End) -> None:
        """Another end takes the place of this one."""
        with self._lock:
            size = len(end.result or "")
            self.bytes += size - waiting.size
            waiting.end, waiting.size = end, size

    def oldest(self, since: float | None) -> None:
        """The finisher's view: the arrival of the oldest end that no refusal holds up, or None."""
        self._since = since

    def stalled_seconds(self, now: float) -> float:
        """How long the oldest end has waited, if that is too long; else 0."""
        waits = self.oldest_seconds(now)
        return waits if waits > self._stalled_seconds else 0.0

    def oldest_seconds(self, now: float) -> float:
        """How long the oldest end has waited that no refusal holds up; 0 if none waits."""
        since = self._since
        return 0.0 if since is None else now - since

    def words(self, now: float) -> str:
        """For a probe: how long ends have waited, if that is too long; else empty."""
        seconds = self.stalled_seconds(now)
        return f"the ends of {self.count} jobs have waited {seconds:.0f} s to be written" if seconds else ""

    @property
    def is_full(self) -> bool:
        return self.count >= self._most_ends or self.bytes >= self._most_bytes
