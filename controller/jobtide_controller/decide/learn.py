"""What one more reading teaches: how long jobs take, how fast rows fall due, how many wait.

Little's law, read off the table: the slots in use, integrated over time, divided by the jobs that ended in
that time, is the time that a job holds its slot. Nobody measures a job, and no worker reports anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from jobtide_controller.api.spec import Tenants
from jobtide_controller.decide import arrival_rate
from jobtide_controller.decide.history import Count, Failing, Group, History, Learned
from jobtide_controller.decide.reading import Depth, Key, Reading

GAP_SECONDS = 20.0  # between readings further apart, what ran in between is a guess
FAILING_KEPT_SECONDS = 60.0  # between two jobs that fail a pool may be empty, and still everything fails
STEPPED_BACK_SECONDS = 60.0  # a clock set back by more was wrong before, not late now

_NOTHING = Depth()
_ABSENT = Count(due=0, later=0, running=0, capped=False, estimate=0.0)


def learn(tenants: Tenants, reading: Reading, history: History) -> History:
    """The history after this reading. A reading that is no younger than the last teaches nothing."""
    if history.read_at is None or reading.taken_at < history.read_at - STEPPED_BACK_SECONDS:
        return _begun(reading, history)
    seconds = reading.taken_at - history.read_at
    if seconds <= 0:
        return history
    changes = _changes(reading, history)
    types = dict(history.types)
    for type_, change in changes.items():
        types[type_] = _learned(history.learned(type_), change, seconds)
    return replace(
        history,
        read_at=reading.taken_at,
        types=types,
        flow=_flow(tenants, reading, history),
        counts={key: _counted(key, depth, history, seconds, types) for key, depth in reading.depths.items()},
        failing=_failing(reading, history.failing),
    )


def group_of(tenants: Tenants, key: Key) -> Group:
    return Group(key.type, None if tenants.cap_of(key.tenant_id) is None else key.tenant_id)


def estimated_due(key: Key, depth: Depth, history: History) -> float:
    """How many rows are due: as counted, or as last reckoned where counting stopped."""
    count = history.counts.get(key)
    return float(depth.due) if count is None or not depth.capped else max(float(depth.due), count.estimate)


@dataclass(slots=True)
class _Change:
    """One type between two readings, over all tenants."""

    arrivals: int = 0
    total: int = 0
    later: int = 0
    running_before: int = 0
    running_now: int = 0
    capped: bool = False

    def add(self, before: Count, now: Depth) -> None:
        self.arrivals += now.arrivals
        self.later += now.later - before.later
        self.total += now.due + now.later + now.running - before.due - before.later - before.running
        self.running_before += before.running
        self.running_now += now.running
        self.capped |= before.capped or now.capped

    @property
    def ended(self) -> int:
        """Rows that left: came in, and are neither waiting nor running. 10 came, 4 more are there: 6 ended."""
        return self.arrivals - self.total

    def slot_seconds(self, seconds: float) -> float:
        """Slots in use, between the two readings. 3 before and 5 now, 2 s apart: 8 slot seconds."""
        return (self.running_before + self.running_now) / 2 * seconds


def _begun(reading: Reading, history: History) -> History:
    """The first reading, or the first by a clock that was put right: nothing to compare it with."""
    return History(
        began_at=reading.taken_at,
        read_at=reading.taken_at,
        types=history.types,
        counts={key: _count(depth, float(depth.due)) for key, depth in reading.depths.items()},
        recommendations=history.recommendations,
    )


def _changes(reading: Reading, history: History) -> Mapping[str, _Change]:
    changes: dict[str, _Change] = {}
    for key, depth in reading.depths.items():
        changes.setdefault(key.type, _Change()).add(history.counts.get(key, _ABSENT), depth)
    for key, count in history.counts.items():
        if key not in reading.depths:
            changes.setdefault(key.type, _Change()).add(count, _NOTHING)
    return changes


def _learned(learned: Learned, change: _Change, seconds: float) -> Learned:
    if seconds > GAP_SECONDS:
        return learned
    running = change.running_before > 0 or change.running_now > 0
    ran_seconds = learned.ran_seconds + seconds if running else learned.ran_seconds
    slot_seconds = change.slot_seconds(seconds)
    # Attempts that only fail use slots and end nothing: S would swell without bound.
    failing = change.ended <= 0 and change.later > 0
    silent = slot_seconds == 0 and change.ended == 0
    if change.capped or failing or silent:
        return replace(learned, ran_seconds=ran_seconds)
    # Forget over eight jobs' length: a second at S = 1 s keeps exp(-1/120) = 99.2 % of what was known.
    kept = math.exp(-seconds / min(max(8.0 * learned.service_seconds, 120.0), 1200.0))
    return Learned(
        slot_seconds=learned.slot_seconds * kept + slot_seconds,
        jobs=learned.jobs * kept + max(0, change.ended),
        ran_seconds=ran_seconds,
    )


def _flow(tenants: Tenants, reading: Reading, history: History) -> dict[Group, arrival_rate.Pieces]:
    """Rows that became due: new ones, and scheduled ones whose time has come; those put off don't count."""
    assert history.read_at is not None
    rows: dict[Group, int] = {}
    for key, depth in reading.depths.items():
        before = history.counts.get(key, _ABSENT)
        group = group_of(tenants, key)
        rows[group] = rows.get(group, 0) + depth.arrivals - (depth.later - before.later)
    for key, count in history.counts.items():
        if key not in reading.depths:
            group = group_of(tenants, key)
            rows[group] = rows.get(group, 0) + count.later
    grown = {
        group: arrival_rate.added(
            history.flow.get(group, ()),
            start=history.read_at,
            end=reading.taken_at,
            rows=max(0, rows.get(group, 0)),
        )
        for group in {**history.flow, **rows}
    }
    return {group: pieces for group, pieces in grown.items() if pieces}


def _counted(key: Key, depth: Depth, history: History, seconds: float, types: Mapping[str, Learned]) -> Count:
    """Counting stops at a cap; beyond it, what came is added and what the slots must have done is taken off.

    Counted to 1,000 with 5,000 reckoned before, 200 came, 40 ran for 2 s at S = 1 s:
    5,000 + 200 - 80 = 5,120.
    """
    if not depth.capped:
        return _count(depth, float(depth.due))
    before = history.counts.get(key, _ABSENT).estimate
    done = depth.running * seconds / types[key.type].service_seconds
    return _count(depth, max(float(depth.due), before + depth.arrivals - done))


def _count(depth: Depth, estimate: float) -> Count:
    return Count(depth.due, depth.later, depth.running, depth.capped, estimate)


def _failing(reading: Reading, before: Failing | None) -> Failing | None:
    """One attempt that ends well ends it, of whatever type; so does a minute with nothing to do and no failure."""
    if any(depth.succeeded for depth in reading.depths.values()):
        return None
    if any(depth.failed for depth in reading.depths.values()):
        return Failing(reading.taken_at if before is None else before.since, reading.taken_at)
    if before is None or reading.taken_at - before.last_at < FAILING_KEPT_SECONDS:
        return before
    return before if any(_will_be_tried(depth) for depth in reading.depths.values()) else None


def _will_be_tried(depth: Depth) -> bool:
    """Not what is scheduled for never: of that nobody will see an attempt."""
    return depth.due > 0 or depth.running > 0 or depth.next_due_at is not None
