"""Skips what this worker has claimed already, so that rows which can't be vacuumed yet don't slow it down.

A claimed row leaves a dead entry at the head of its tenant's range in the index. While some old snapshot is open (a
backup, a report), PostgreSQL can't drop these entries, and every claim would step over all of them: after 300,000
claims that is thousands of pages for each. So a worker remembers, for tenants that it has claimed a lot from, how far
it has come in the order of their rows, and looks from there on.

Rows behind the mark exist (given back, rescued, committed late), so a lap without marks follows whenever a marked one
brings less than was wanted, and every few seconds anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jobtide.queue.ring import Key, Lap, Mark, Range

_WORTH_A_MARK_ROWS = 500
_MOST_MARKS = 64  # a tenant beyond them pays for all its dead entries
_SPARE_MARKS = 4  # in a lap, for marked tenants that have nothing just now; each is one more range
_FULL_LAP_EVERY_SECONDS = 5.0


@dataclass(slots=True)
class _Progress:
    rows: int
    mark: Mark


class LowWater:
    """The marks of one worker. Times of `narrowed` are time.monotonic(); those of rows are the database's."""

    def __init__(self) -> None:
        self._progress: dict[Key, _Progress] = {}
        self._full_lap_at = 0.0

    def claimed(self, key: Key, rows: int, mark: Mark) -> None:
        """So many rows of this key were claimed, the last of them at this mark."""
        known = self._progress.get(key)
        if known is None:
            self._progress[key] = _Progress(rows, mark)
            if len(self._progress) >= 2 * _MOST_MARKS:  # not at each new tenant: a fleet may have a thousand
                busiest_first = sorted(self._progress.items(), key=lambda item: item[1].rows, reverse=True)
                self._progress = dict(busiest_first[:_MOST_MARKS])
            return
        known.rows += rows
        known.mark = max(known.mark, mark)

    def narrowed(self, lap: Lap, keys: int, now: float) -> Lap:
        """The lap, with marked keys starting at their marks, as many as a claim from `keys` keys may meet.

        The whole lap when that is due.
        """
        marks = {key: seen.mark for key, seen in self._progress.items() if seen.rows >= _WORTH_A_MARK_ROWS}
        if not marks or now >= self._full_lap_at:
            self._full_lap_at = now + _FULL_LAP_EVERY_SECONDS
            return lap
        return tuple(_narrowed(lap, min(keys + _SPARE_MARKS, _MOST_MARKS), marks))


def _narrowed(lap: Lap, at_most: int, marks: dict[Key, Mark]) -> Iterator[Range]:
    """Worked: tenants 0 to 9 with a mark on 4 become 0 to 3, and 4 to 9 with the mark (it concerns the first)."""
    for range_ in lap:
        rest = range_
        inside = sorted(tenant for type_, tenant in marks if type_ == rest.type and rest.first <= tenant <= rest.last)
        for tenant in inside[:at_most]:
            if rest.first < tenant:
                yield Range(rest.type, rest.first, tenant - 1, rest.since)
            rest = Range(rest.type, tenant, rest.last, marks[rest.type, tenant])
        at_most -= min(at_most, len(inside))
        yield rest
