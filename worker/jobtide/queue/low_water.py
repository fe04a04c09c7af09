"""Skips rows that this worker has claimed already, so that dead rows that can't be vacuumed yet don't slow it down.

A claimed row leaves a dead entry at the head of its tenant's range in the index. While some old snapshot is open (a
backup, a report), PostgreSQL can't drop these entries, and every claim would step over all of them: after 300,000
claims that is thousands of pages for each. So a worker remembers, for tenants with some claimed rows, how far it has
come in the order of their rows, and starts there.

There can be rows before the mark (requeued, rescued, committed late). While claims come back full, a tenant's mark is
left out once it is 5 s old, when the tenant's turn comes. When a claim brings less than was wanted, a few marked
tenants are searched from their first row on, then the next ones: as many at once as take some 5 ms. Both may take a
twentieth of the time. See docs/adr/2026-11-29-dead-rows-under-an-old-snapshot.md.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nlargest

from jobtide.queue.ring import Key, Lap, Mark, Range

_WORTH_A_MARK_ROWS = 50  # stepping over fewer dead entries costs less than one more range in the lap
_MOST_MARKS = 2_048  # about 0.6 kB each; a claim from a tenant beyond them steps over all its dead entries
_MOST_IN_A_LAP = 64
_MOST_IN_A_WHOLE_LAP = 512  # while claims come short, so that each visits every tenant; those with the most rows
_SHORT_FOR_SECONDS = 1.0
_MARK_SECONDS = 20e-6  # what a mark costs a claim; where the search of a tenant costs less, few marks are better
_SPARE_MARKS = 4  # in a lap at most, for marked tenants with no due jobs; each is one more range
_WALKED_EVERY_SECONDS = 5.0
_SEARCH_SECONDS = 0.005  # one search before marks; a claim waits for it
_SEARCH_SHARE = 0.05  # of the time, for these searches
_LONGEST_PAUSE_SECONDS = 10.0  # between two of them: a server that stood still for a minute is no reason for twenty
_MOST_IN_A_SEARCH = 512


@dataclass(slots=True)
class _Progress:
    rows: int
    mark: Mark
    walked_at: float  # when a claim last came to this key without its mark, and found a row


class LowWater:
    """The marks of one worker. `now` is time.monotonic(); times of rows are the database's."""

    def __init__(self) -> None:
        self._progress: dict[Key, _Progress] = {}
        self._marked: dict[str, list[int]] = {}  # the tenants of each type that have a mark, sorted
        self._lap_at = 0.0  # the last `narrowed`
        self._stale_before = -math.inf  # marks of keys that were walked before that are not in the last lap
        self._leaves_out = False  # the last lap: such marks
        self._stale_at = 0.0  # when old marks are left out again
        self._whole_at = math.inf  # the last lap without marks, or end of a round of searches; before: the first search
        self._short_until = 0.0  # claims bring less than is wanted
        self._is_dear = True  # to visit a tenant from its first row on
        self._unsearched: list[Key] = []  # marked keys of this round of searches
        self._round_keys = 0
        self._round_seconds = 0.0
        self._in_whole_laps: frozenset[Key] = frozenset()  # whose marks are in them; empty: of all
        self._search_keys = 1  # at most, of the next search
        self._search_at = 0.0
        self._is_searched = True  # since the last `narrowed`: no row before a mark can have been missed

    def claimed(self, key: Key, rows: int, mark: Mark) -> None:
        """Notes that `rows` rows of this key were claimed, the last of them at `mark`."""
        known = self._progress.get(key)
        if known is None:
            known = self._progress[key] = _Progress(0, mark, self._lap_at)
        elif known.walked_at <= self._stale_before:
            known.walked_at = self._lap_at
        had_a_mark = known.rows >= _WORTH_A_MARK_ROWS
        known.rows += rows
        known.mark = max(known.mark, mark)
        if not had_a_mark and known.rows >= _WORTH_A_MARK_ROWS:
            insort(self._marked.setdefault(key[0], []), key[1])
        if len(self._progress) >= 2 * _MOST_MARKS:  # not at each new tenant: there may be a thousand
            self._forget_the_idlest()

    def narrowed(self, lap: Lap, keys: int, now: float) -> Lap:
        """The lap, in which marked keys start at their marks: as many as a claim from `keys` keys may reach.

        While claims come short: most of them. Otherwise without marks that are 5 s old.
        """
        self._lap_at, self._stale_before, self._leaves_out = now, -math.inf, False
        self._is_searched = not self._marked
        if not self._marked:
            return lap
        is_short = now < self._short_until
        if is_short and now >= self._whole_at + self._whole_every_seconds():
            self._whole_at, self._is_searched = now, True
            return lap
        if is_short and self._is_dear:
            return tuple(self._narrowed(lap, _MOST_IN_A_WHOLE_LAP, self._in_whole_laps))
        if now >= self._stale_at:
            self._stale_before = now - _WALKED_EVERY_SECONDS
        return tuple(self._narrowed(lap, min(keys + min(keys, _SPARE_MARKS), _MOST_IN_A_LAP), reached=keys))

    def walked(self, seconds: float, now: float) -> None:
        """The claim from the last lap took `seconds`, and ended at `now`."""
        if self._leaves_out:
            self._stale_at = now + min(seconds / _SEARCH_SHARE, _LONGEST_PAUSE_SECONDS)

    def _whole_every_seconds(self) -> float:
        """While claims come short it is due only if too few do, and the searches get less than half of their time."""
        visited = self._round_keys - len(self._unsearched)
        lap_seconds = self._round_seconds * self._round_keys / visited if visited else 0.0
        return max(_WALKED_EVERY_SECONDS, 2 * lap_seconds / _SEARCH_SHARE)

    def search(self, lap: Lap, now: float) -> Lap:
        """After a narrowed lap that came short: some marked keys from their first row on; () for none yet."""
        self._short_until = now + _SHORT_FOR_SECONDS
        if now < self._search_at:
            return ()
        self._whole_at = min(self._whole_at, now)
        if not self._unsearched:
            self._begin_round()
        part = self._unsearched[: self._search_keys]
        del self._unsearched[: self._search_keys]
        for key in part:
            if (known := self._progress.get(key)) is not None:
                known.walked_at = now
        self._is_searched = not self._unsearched
        return tuple(
            Range(type_, tenant, tenant)
            for type_, tenant in part
            if any(range_.type == type_ and range_.first <= tenant <= range_.last for range_ in lap)
        )

    def _begin_round(self) -> None:
        self._unsearched = [(type_, tenant) for type_, tenants in self._marked.items() for tenant in tenants]
        self._round_keys, self._round_seconds = len(self._unsearched), 0.0
        self._in_whole_laps = frozenset()
        if self._round_keys > _MOST_IN_A_WHOLE_LAP:
            by_rows = nlargest(_MOST_IN_A_WHOLE_LAP, self._unsearched, key=lambda key: self._progress[key].rows)
            self._in_whole_laps = frozenset(by_rows)

    def searched(self, seconds: float, now: float) -> None:
        """That search took `seconds`, and ended at `now`: sets the time and the size of the next one."""
        self._search_at = now + min(seconds / _SEARCH_SHARE, _LONGEST_PAUSE_SECONDS)
        self._round_seconds += seconds
        if not self._unsearched:
            self._whole_at = now
            # Of the whole round: one tenant with 100,000 dead rows among a thousand without any is dear too.
            self._is_dear = self._round_seconds > _MARK_SECONDS * min(self._round_keys, _MOST_IN_A_WHOLE_LAP)
        if seconds > _SEARCH_SECONDS:
            self._search_keys = max(1, self._search_keys // 2)
        elif seconds < _SEARCH_SECONDS / 2:
            self._search_keys = min(2 * self._search_keys, _MOST_IN_A_SEARCH)

    def next_search_seconds(self, now: float) -> float:
        """Until the next search, for a worker that is about to wait; inf: the last claim has left nothing to search."""
        return math.inf if self._is_searched else max(0.0, self._search_at - now)

    def _narrowed(
        self, lap: Lap, at_most: int, among: frozenset[Key] = frozenset(), *, reached: int = 0
    ) -> Iterator[Range]:
        """Worked: tenants 0 to 9 with a mark on 4 become 0 to 3, and 4 to 9 with the mark (it applies to the first)."""
        for range_ in lap:
            left = range_
            marked = self._marked.get(left.type, [])
            marked = marked[bisect_left(marked, left.first) : bisect_right(marked, left.last)]
            if among:
                marked = [tenant for tenant in marked if (left.type, tenant) in among]
            marked = marked[:at_most]
            for tenant in [*self._without_old(left.type, marked[:reached]), *marked[reached:]]:
                if left.first < tenant:
                    yield Range(left.type, left.first, tenant - 1, left.since)
                left = Range(left.type, tenant, left.last, self._progress[left.type, tenant].mark)
            at_most, reached = at_most - len(marked), max(0, reached - len(marked))
            yield left

    def _without_old(self, type_: str, marked: list[int]) -> list[int]:
        if self._stale_before == -math.inf:
            return marked
        left = [tenant for tenant in marked if self._progress[type_, tenant].walked_at > self._stale_before]
        self._leaves_out |= len(left) < len(marked)
        return left

    def _forget_the_idlest(self) -> None:
        busiest_first = sorted(self._progress.items(), key=lambda item: item[1].rows, reverse=True)
        self._progress = dict(busiest_first[:_MOST_MARKS])
        self._marked = {}
        for (type_, tenant), seen in sorted(self._progress.items()):
            if seen.rows >= _WORTH_A_MARK_ROWS:
                self._marked.setdefault(type_, []).append(tenant)
