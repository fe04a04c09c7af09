"""Ends that wait because the server refuses them or their row is locked, by cause; each cause is tried with backoff."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from jobtide.backoff import backoff_seconds
from jobtide.queue.refusals import RowRefused
from jobtide.worker.backlog import Waiting

_BASE_SECONDS = 1.0
_CAP_SECONDS = 60.0
_PROBES = 8  # ends of one cause that are tried at once
# Less than the backlog's bounds: refused ends must not stop the claims.
_MOST_ENDS = 500
_MOST_BYTES = 8 << 20

Cause = tuple[str | None, str]


@dataclass(slots=True)
class _Group:
    try_at: float
    failures: int = 1
    ends: deque[Waiting] = field(default_factory=deque)


class RefusedEnds:
    """For one thread. Times are time.monotonic(), in seconds."""

    def __init__(self) -> None:
        self._groups: dict[Cause, _Group] = {}

    def __len__(self) -> int:
        return sum(len(group.ends) for group in self._groups.values())

    def __iter__(self) -> Iterator[Waiting]:
        return (waiting for group in self._groups.values() for waiting in group.ends)

    def hold(self, waiting: Waiting, refusal: RowRefused, now: float) -> list[Waiting]:
        """Keeps one end until its cause is due. Returns the ends that there is no room for any more."""
        group = self._groups.get(refusal.cause)
        if group is None:
            group = self._groups[refusal.cause] = _Group(now + _wait_seconds(1))
        group.ends.append(waiting)
        given_up = []
        while len(self) > _MOST_ENDS or (len(self) > 1 and sum(one.size for one in self) > _MOST_BYTES):
            given_up.append(max(self._groups.values(), key=lambda one: len(one.ends)).ends.popleft())
        return given_up

    def due(self, now: float) -> list[Cause]:
        self._groups = {cause: group for cause, group in self._groups.items() if group.ends}
        return [cause for cause, group in self._groups.items() if group.try_at <= now]

    def probes(self, cause: Cause) -> list[Waiting]:
        """Takes out the ends of this cause to try now, the one tried longest ago first."""
        ends = self._groups[cause].ends
        return [ends.popleft() for _ in range(min(_PROBES, len(ends)))]

    def back_off(self, cause: Cause, now: float) -> None:
        """No end of this cause has passed."""
        group = self._groups[cause]
        group.failures += 1
        group.try_at = now + _wait_seconds(group.failures)

    def release(self, cause: Cause) -> list[Waiting]:
        """Takes out the ends of a cause of which one has passed."""
        return list(self._groups.pop(cause).ends)

    def release_all(self) -> list[Waiting]:
        released = list(self)
        self._groups.clear()
        return released

    def next_try_at(self) -> float | None:
        return min((group.try_at for group in self._groups.values() if group.ends), default=None)


def _wait_seconds(failures: int) -> float:
    return backoff_seconds(failures, base_seconds=_BASE_SECONDS, max_seconds=_CAP_SECONDS)
