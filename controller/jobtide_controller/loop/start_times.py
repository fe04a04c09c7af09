"""How long the workers of each pool take to start, learned from the last ones."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable
from statistics import median
from typing import Generic, TypeVar

Pool = TypeVar("Pool", bound=Hashable)

STARTS_KEPT = 20
START_UNKNOWN_SECONDS = 10.0


class StartTimes(Generic[Pool]):
    """Seconds from a worker's creation to ready, by pool."""

    def __init__(self) -> None:
        self._starts: defaultdict[Pool, deque[float]] = defaultdict(lambda: deque(maxlen=STARTS_KEPT))

    def add(self, pool: Pool, seconds: float) -> None:
        self._starts[pool].append(max(0.0, seconds))

    def median(self, pool: Pool) -> float:
        """The median of the last starts; START_UNKNOWN_SECONDS before the first."""
        starts = self._starts.get(pool)
        return median(starts) if starts else START_UNKNOWN_SECONDS

    def is_known(self, pool: Pool) -> bool:
        """Whether a start was measured."""
        return pool in self._starts

    def forget(self, pool: Pool) -> None:
        self._starts.pop(pool, None)
