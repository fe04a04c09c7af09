"""How long to wait between two readings of a database."""

from __future__ import annotations

from dataclasses import dataclass

from jobtide.backoff import backoff_seconds


@dataclass(frozen=True, slots=True)
class Interval:
    """0.2 s while a reading costs up to 10 ms, stretched so that it takes 5 % of a core, 5 s at most.

    1 s while there is no job and the database notifies of the next one: readings then find
    only what it does not notify of.
    """

    min_seconds: float = 0.2
    notified_seconds: float = 1.0
    notified_least_seconds: float = 0.05
    max_seconds: float = 5.0
    share: float = 0.05
    woken_share: float = 0.1  # what a stream of events may take
    held_share: float = 1 / 3  # what decisions may take of the event loop: the rest is for writes and the watch

    def after(self, cost_seconds: float, failures: int, *, is_notified: bool = False) -> float:
        """Returns the pause in seconds; after failed readings it grows by backoff, up to max_seconds."""
        if failures:
            return backoff_seconds(failures, base_seconds=2 * self.min_seconds, max_seconds=self.max_seconds)
        return max(self._within(cost_seconds / self.share), self.notified_seconds if is_notified else 0.0)

    def at_least(self, cost_seconds: float, held_seconds: float = 0.0, *, is_notified: bool = False) -> float:
        """The least time between two readings, whatever changes; less if the database has notified of the first job.

        `held_seconds`: what the decisions of one took.
        """
        needed = max(cost_seconds / self.woken_share, held_seconds / self.held_share)
        least = self._within(needed)
        return min(least, max(self.notified_least_seconds, needed)) if is_notified else least

    def _within(self, seconds: float) -> float:
        return min(self.max_seconds, max(self.min_seconds, seconds))
