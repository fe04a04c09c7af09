"""How pools were in the last 24 hours, in bounded memory: 0.4 MB for each pool that had something to do.

Three rings a pool: each second of 15 minutes, each 10 s of an hour, each minute of a day. A point of a ring is the
sample with the deepest backlog of its step, so a peak of a second is seen in the day too. The pools that were idle
longest are dropped first. Where more pools than POOLS_MAX are busy, the others begin when a user opens their page.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Any, Literal, NamedTuple

POOLS_MAX = 100
DECISIONS_MAX = 200  # of one pool; its status has the last ten
RESTORED_SECONDS = 5.0  # a decision that is no older is part of what is seen now
HELD_SECONDS = 15.0  # that a sample stands for, if the next one comes no later
KEYS = 8  # types, and tenants, of one sample
NAMES_MAX = 2_000  # of types and tenants of one pool; then those that no ring has are forgotten

By = Literal["type", "tenant"]
Range = Literal["15m", "1h", "6h", "24h"]

RINGS: tuple[tuple[int, int], ...] = ((1, 900), (10, 360), (60, 1_440))  # seconds of a step, steps
RANGES: Mapping[Range, tuple[int, int]] = {"15m": (0, 900), "1h": (1, 360), "6h": (2, 360), "24h": (2, 1_440)}
"""By the range's name: which ring, and how many of its steps."""

UNKNOWN = math.nan
_NUMBERS = 5  # depth, oldest, desired, ready, busy
_WIDTH = _NUMBERS + 2 * 2 * KEYS  # then pairs of name and depth, of types and of tenants; name 0 is none
_FIRST: Mapping[By, int] = {"type": _NUMBERS, "tenant": _NUMBERS + 2 * KEYS}


class Sample(NamedTuple):
    """One pool at one time. NaN is not known."""

    depth: float  # waiting jobs, also those that are not due
    oldest_seconds: float
    desired: float
    ready: float
    busy: float
    by_type: Mapping[str, float] = {}
    by_tenant: Mapping[str, float] = {}

    def of(self, by: By) -> Mapping[str, float]:
        return self.by_type if by == "type" else self.by_tenant


@dataclass(frozen=True, slots=True)
class Series:
    """Equally spaced points; None is not known. `depth` is stacked: its values add up to all waiting jobs."""

    step_seconds: int
    start: float  # time of the first point, seconds since the epoch
    depth: dict[str | None, list[float | None]]  # by type or tenant, the deepest first; None: the others
    oldest: list[float | None]
    desired: list[float | None]
    ready: list[float | None]
    busy: list[float | None]
    restored_until: float | None  # before, only what the pool's status had


class Past(NamedTuple):
    """One decision from a pool's status."""

    at: float
    desired: float
    due: float
    oldest_seconds: float


class History:
    """Of all pools, by UID."""

    def __init__(self) -> None:
        self._pools: OrderedDict[str, _PoolHistory] = OrderedDict()  # the one idle longest first

    def __contains__(self, uid: str) -> bool:
        return uid in self._pools

    def begin(self, uid: str, past: Iterable[Past], now: float) -> None:
        """Remembers this pool from now on, and before that what its decisions say."""
        pool = self._pools[uid] = _PoolHistory(restored_until=None)
        decisions = sorted(decision for decision in past if decision.at < now - RESTORED_SECONDS)
        for number, decision in enumerate(decisions):
            until = decisions[number + 1].at if number + 1 < len(decisions) else now
            pool.restore(decision, until, now)
        if decisions:
            pool.restored_until = now
        while len(self._pools) > POOLS_MAX:
            self._pools.popitem(last=False)

    @property
    def has_room(self) -> bool:
        """Whether one more pool drops none that does something now."""
        return len(self._pools) < POOLS_MAX or not next(iter(self._pools.values())).is_busy

    def note(self, uid: str, at: float, sample: Sample) -> None:
        """Adds a sample of a pool that `begin` was called for."""
        pool = self._pools[uid]
        pool.note(at, sample)
        pool.is_busy = bool(sample.depth or sample.busy or sample.desired or sample.ready)
        if pool.is_busy:
            self._pools.move_to_end(uid)

    def note_decisions(self, uid: str, status: Mapping[str, Any]) -> None:
        """Keeps the decisions of a status longer than the status does."""
        self._pools[uid].note_decisions(status)

    def decisions(self, uid: str) -> list[Mapping[str, Any]]:
        """Those that are kept, as a status has them, newest first."""
        pool = self._pools.get(uid)
        return [] if pool is None else list(pool.decisions.values())[::-1]

    def known(self) -> list[str]:
        """The UIDs of the pools that are remembered."""
        return list(self._pools)

    def forget(self, uid: str) -> None:
        self._pools.pop(uid, None)

    def series(self, uid: str, range_: Range, by: By, now: float) -> Series:
        """All unknown for a pool that is not remembered."""
        return (self._pools.get(uid) or _PoolHistory(None)).series(range_, by, now)


@dataclass(slots=True)
class _PoolHistory:
    restored_until: float | None
    is_busy: bool = False
    _rings: list[_Ring] = field(default_factory=lambda: [_Ring(step, size) for step, size in RINGS])
    _names: dict[str, int] = field(default_factory=dict)
    _free: list[int] = field(default_factory=list)  # numbers of forgotten names: rings keep 24 bits of a number
    _names_max: int = NAMES_MAX
    _last: tuple[float, array[float]] = (-math.inf, array("f"))
    _status: Mapping[str, Any] | None = None
    decisions: dict[tuple[object, ...], Mapping[str, Any]] = field(default_factory=dict)  # newest last

    def note_decisions(self, status: Mapping[str, Any]) -> None:
        if status is self._status:
            return
        self._status = status
        for decision in reversed(status.get("decisions") or ()):
            key = tuple(decision.get(name) for name in ("time", "replicasBefore", "replicas", "reason"))
            self.decisions.setdefault(key, decision)
        while len(self.decisions) > DECISIONS_MAX:
            del self.decisions[next(iter(self.decisions))]

    def note(self, at: float, sample: Sample) -> None:
        row, (before_at, before) = self._row(sample), self._last
        for ring in self._rings:
            bucket = int(at // ring.step)
            if 0 <= at - before_at <= HELD_SECONDS:
                for missed in range(int(before_at // ring.step) + 1, bucket):
                    ring.put(missed, before)
            ring.put(bucket, row)
        self._last = at, row

    def restore(self, decision: Past, until: float, now: float) -> None:
        """The desired number holds until the next decision; the depth is known at the decision only."""
        held = self._row(Sample(UNKNOWN, UNKNOWN, decision.desired, UNKNOWN, UNKNOWN))
        first = self._row(Sample(decision.due, decision.oldest_seconds, decision.desired, UNKNOWN, UNKNOWN))
        for ring in self._rings:
            earliest = int(now // ring.step) - ring.size + 1
            begun, end = int(decision.at // ring.step), int(until // ring.step)
            for bucket in range(max(begun, earliest), end):
                ring.put(bucket, held)
            if begun >= earliest:
                ring.put(begun, first)

    def series(self, range_: Range, by: By, now: float) -> Series:
        number, steps = RANGES[range_]
        ring = self._rings[number]
        first = int(now // ring.step) - steps + 1
        rows = [ring.get(bucket) for bucket in range(first, first + steps)]
        depth, oldest, desired, ready, busy = (
            [None if row is None else _known(row[column]) for row in rows] for column in range(_NUMBERS)
        )
        stacked = self._stacked(rows, depth, by)
        return Series(ring.step, float(first * ring.step), stacked, oldest, desired, ready, busy, self.restored_until)

    def _stacked(
        self, rows: Sequence[array[float] | None], totals: Sequence[float | None], by: By
    ) -> dict[str | None, list[float | None]]:
        sums: dict[int, float] = {}
        for row in rows:
            for name, depth in _pairs(row, by):
                sums[name] = sums.get(name, 0.0) + depth
        shown = nlargest(KEYS, sums, key=lambda name: sums[name])
        texts = {number: text for text, number in self._names.items()}
        found: dict[str | None, list[float | None]] = {texts[name]: [] for name in shown}
        others: list[float | None] = []
        for row, total in zip(rows, totals, strict=True):
            depths = dict(_pairs(row, by))
            for name in shown:
                found[texts[name]].append(None if total is None else depths.get(name, 0.0))
            rest = None if total is None else max(0.0, total - sum(depths.get(name, 0.0) for name in shown))
            others.append(rest)
        return {**found, None: others}

    def _row(self, sample: Sample) -> array[float]:
        if len(self._names) + 2 * KEYS > self._names_max:  # not in between: no ring has this row's names yet
            self._drop_unused()
            self._names_max = max(NAMES_MAX, 2 * len(self._names))
        row = array("f", bytes(4 * _WIDTH))
        row[:_NUMBERS] = array("f", [sample.depth, sample.oldest_seconds, sample.desired, sample.ready, sample.busy])
        for by, first in _FIRST.items():
            deepest = nlargest(KEYS, sample.of(by).items(), key=lambda pair: pair[1])
            for place, (name, depth) in enumerate(deepest):
                if depth > 0:
                    row[first + 2 * place], row[first + 2 * place + 1] = self._number(name), depth
        return row

    def _number(self, name: str) -> int:
        known = self._names.get(name)
        if known is not None:
            return known
        number = self._free.pop() if self._free else len(self._names) + 1
        return self._names.setdefault(name, number)

    def _drop_unused(self) -> None:
        """Forgets the names that no ring has any more."""
        rows = itertools.chain([self._last[1]], *self._rings)
        used = {name for row in rows if row for by in _FIRST for name, _ in _pairs(row, by)}
        self._free += [number for number in self._names.values() if number not in used]
        self._names = {text: number for text, number in self._names.items() if number in used}


class _Ring:
    """The last `size` steps. Rows are in one array of 4-byte numbers."""

    def __init__(self, step: int, size: int) -> None:
        self.step = step
        self.size = size
        self._buckets = array("q", [-1] * size)
        self._rows = array("f", bytes(4 * _WIDTH * size))

    def __iter__(self) -> Iterator[array[float]]:
        for place, bucket in enumerate(self._buckets):
            if bucket >= 0:
                yield self._rows[place * _WIDTH : (place + 1) * _WIDTH]

    def put(self, bucket: int, row: array[float]) -> None:
        """Replaces an older step, and a row of the same step unless that has a deeper backlog."""
        place = bucket % self.size
        before = self._rows[place * _WIDTH]
        if self._buckets[place] == bucket and not (row[0] >= before or math.isnan(before)):
            return
        self._buckets[place] = bucket
        self._rows[place * _WIDTH : (place + 1) * _WIDTH] = row

    def get(self, bucket: int) -> array[float] | None:
        place = bucket % self.size
        return self._rows[place * _WIDTH : (place + 1) * _WIDTH] if self._buckets[place] == bucket else None


def _pairs(row: array[float] | None, by: By) -> Iterator[tuple[int, float]]:
    if row is not None:
        first = _FIRST[by]
        for place in range(first, first + 2 * KEYS, 2):
            if row[place]:
                yield int(row[place]), row[place + 1]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
