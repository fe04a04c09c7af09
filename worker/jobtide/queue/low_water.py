"""Skips rows that this worker has claimed already, so that dead rows that can't be vacuumed yet don't slow it down.

A claimed row leaves a dead entry at the head of its tenant's range in the index. While some old snapshot is open (a
backup, a report), PostgreSQL can't drop these entries, and every claim would step over all of them: after 300,000
claims that is thousands of pages for each. So a worker remembers, for tenants with some claimed rows, how far it has
come in the order of their rows, and starts there.

There can be rows before the mark (requeued, rescued, committed late). So a lap without marks follows when a marked one
brings less than was wanted, and every 5 s.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from jobtide.queue.ring import Key, Lap, Mark, Range

_WORTH_A_MARK_ROWS = 50  # stepping over fewer dead entries costs less than one more range in the lap
_MOST_MARKS = 2_048  # about 0.6 kB each; a claim from a tenant beyond them steps over all its dead entries
_MOST_IN_A_LAP = 64
_SPARE_MARKS = 4  # in a lap at most, for marked tenants with no due jobs; each is one more range
_FULL_LAP_EVERY_SECONDS = 5.0


@dataclass(slots=True)
class _Progress:
    rows: int
    mark: Mark


class LowWater:
    """The marks of one worker. Times of `narrowed` are time.monotonic(); those of rows are the database's."""

    def __init__(self) -> None:
        self._progress: dict[Key, _Progress] = {}
        self._marked: dict[str, list[int]] = {}  # the tenants of each type that have a mark, sorted
        self._full_lap_at = 0.0

    def claimed(self, key: Key, rows: int, mark: Mark) -> None:
        """Notes that `rows` rows of this key were claimed, the last of them at `mark`."""
        known = self._progress.get(key)
        if known is None:
            known = self._progress[key] = _Progress(0, mark)
        had_a_mark = known.rows >= _WORTH_A_MARK_ROWS
        known.rows += rows
        known.mark = max(known.mark, mark)
        if not had_a_mark and known.rows >= _WORTH_A_MARK_ROWS:
            insort(self._marked.setdefault(key[0], []), key[1])
        if len(self._progress) >= 2 * _MOST_MARKS:  # not at each new tenant: there may be a thousand
            self._forget_the_idlest()

    def narrowed(self, lap: Lap, keys: int, now: float) -> Lap:
        """The lap, in which marked keys start at their marks: as many as a claim from `keys` keys may reach.

        Every 5 s the whole lap.
        """
        if not self._marked or now >= self._full_lap_at:
            self._full_lap_at = now + _FULL_LAP_EVERY_SECONDS
            return lap
        return tuple(self._narrowed(lap, min(keys + min(keys, _SPARE_MARKS), _MOST_IN_A_LAP)))

    def _narrowed(self, lap: Lap, at_most: int) -> Iterator[Range]:
        """Worked: tenants 0 to 9 with a mark on 4 become 0 to 3, and 4 to 9 with the mark (it applies to the first)."""
        for range_ in lap:
            left = range_
            marked = self._marked.get(left.type, [])
            start, end = bisect_left(marked, left.first), bisect_right(marked, left.last)
            for tenant in islice(marked, start, min(end, start + at_most)):
                if left.first < tenant:
                    yield Range(left.type, left.first, tenant - 1, left.since)
                left = Range(left.type, tenant, left.last, self._progress[left.type, tenant].mark)
            at_most -= max(0, min(at_most, end - start))
            yield left

    def _forget_the_idlest(self) -> None:
        busiest_first = sorted(self._progress.items(), key=lambda item: item[1].rows, reverse=True)
        self._progress = dict(busiest_first[:_MOST_MARKS])
        self._marked = {}
        for (type_, tenant), seen in sorted(self._progress.items()):
            if seen.rows >= _WORTH_A_MARK_ROWS:
                self._marked.setdefault(type_, []).append(tenant)
