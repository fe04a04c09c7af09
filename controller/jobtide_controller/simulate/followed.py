"""Follows some running jobs from one reading to the next, as the controller's statement does."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from jobtide_controller.decide.reading import Key

FOLLOWED = 64  # jobs at most, as postgres/readings.py asks for


class Ends(NamedTuple):
    """Of one key's jobs that were followed."""

    followed: int = 0
    ended: int = 0
    seconds: float = 0.0  # that they ran


class Followed:
    """Jobs are known by their order among all arrivals."""

    def __init__(self) -> None:
        # Random numbers of its own: looking changes nothing else.
        self._chance = Random(0)  # noqa: S311 - repeatable on purpose
        self._running: dict[int, Key] = {}
        self._watched: dict[int, Key] = {}
        self._since = 0.0
        self._stopped: dict[int, tuple[float, bool]] = {}

    def starts(self, order: int, key: Key) -> None:
        self._running[order] = key

    def stops(self, order: int, now: float, *, ended: bool) -> None:
        """The attempt is over, and with it the job, or not."""
        del self._running[order]
        if order in self._watched:
            self._stopped[order] = now, ended

    def take(self, now: float) -> Mapping[Key, Ends]:
        """What became of those that were followed; from now on others are."""
        found: dict[Key, Ends] = {}
        for order, key in self._watched.items():
            stopped_at, ended = self._stopped.get(order, (now, False))
            ends = found.get(key, Ends())
            found[key] = Ends(ends.followed + 1, ends.ended + ended, ends.seconds + stopped_at - self._since)
        chosen = list(self._running.items())
        self._watched = dict(self._chance.sample(chosen, FOLLOWED) if len(chosen) > FOLLOWED else chosen)
        self._stopped, self._since = {}, now
        return found
