"""Learns from each reading: how long jobs take, how fast rows fall due, how many wait.

By Little's law, the slots in use, integrated over time, divided by the jobs that ended in that time, are the seconds
that a job holds its slot. The table is enough for that: no worker measures or reports anything.
docs/adr/2026-11-24-scaling-law.md says how the constants were measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from jobtide_controller.api.spec import Tenants
from jobtide_controller.decide import arrival_rate
from jobtide_controller.decide.history import Count, Failing, Group, History, Learned
from jobtide_controller.decide.reading import OTHERS, Depth, Key, Reading

GAP_SECONDS = 20.0  # of readings further apart no service time is learned: what ran in between is not known
FAILING_KEPT_SECONDS = 60.0  # a pool that is empty for less between two failing jobs still counts as failing
STEPPED_BACK_SECONDS = 60.0  # a clock set back by more was wrong before, so learning restarts

_NOTHING = Depth()
_ABSENT = Count(due=0, later=0, running=0, capped=False, estimate=0.0)


def learn(tenants: Tenants, reading: Reading, history: History) -> History:
    """The history with this reading. One that is not later than the last reading is ignored."""
    if history.read_at is None or reading.taken_at < history.read_at - STEPPED_BACK_SECONDS:
        return _restarted(reading, history)
    seconds = reading.taken_at - history.read_at
    if seconds <= 0:
        return history
    changes = _changes(reading, history)
    types = dict(history.types)
    for type_, change in changes.items():
        types[type_] = _learn_service_time(history.learned(type_), change, seconds)
    return replace(
        history,
        read_at=reading.taken_at,
        types=types,
        flow=_flow(tenants, reading, history),
        counts={key: _count_of(key, depth, history, seconds, types) for key, depth in reading.depths.items()},
        failing=_failing(reading, history.failing),
    )


def group_of(tenants: Tenants, key: Key) -> Group:
    """The group whose arrivals the key's rows are counted in."""
    return Group(key.type, None if cap_of(tenants, key.tenant_id) is None else key.tenant_id)


def cap_of(tenants: Tenants, tenant_id: str) -> int | None:
    """Jobs at once that this tenant may have. None for OTHERS: a tenant near its limit is never one of them."""
    return None if tenant_id == OTHERS else tenants.cap_of(tenant_id)


def estimated_due(key: Key, depth: Depth, history: History) -> float:
    """The number of due rows: as counted, or as estimated if counting stopped."""
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
        """Rows that neither wait nor run any more. 10 arrived, and there are 4 more than before: 6 ended."""
        return self.arrivals - self.total

    def slot_seconds(self, seconds: float) -> float:
        """Slots in use, integrated between the two readings. 3 before and 5 now, 2 s apart: 8 slot seconds."""
        return (self.running_before + self.running_now) / 2 * seconds


def _restarted(reading: Reading, history: History) -> History:
    """After the first reading, or the first since a clock was corrected: there is none to compare it with."""
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


def _learn_service_time(learned: Learned, change: _Change, seconds: float) -> Learned:
    if seconds > GAP_SECONDS:
        return learned
    running = change.running_before > 0 or change.running_now > 0
    ran_seconds = learned.ran_seconds + seconds if running else learned.ran_seconds
    slot_seconds = change.slot_seconds(seconds)
    # Attempts that fail use slots but end no job: S would grow without bound.
    failing = change.ended <= 0 and change.later > 0
    idle = slot_seconds == 0 and change.ended == 0
    if change.capped or failing or idle:
        return replace(learned, ran_seconds=ran_seconds)
    # The memory is eight service times, 120 to 1,200 s: at S = 1 s, exp(-1/120) = 99.2 % is kept each second.
    kept = math.exp(-seconds / min(max(8.0 * learned.service_seconds, 120.0), 1200.0))
    return Learned(
        slot_seconds=learned.slot_seconds * kept + slot_seconds,
        jobs=learned.jobs * kept + max(0, change.ended),
        ran_seconds=ran_seconds,
    )


def _flow(tenants: Tenants, reading: Reading, history: History) -> dict[Group, arrival_rate.Pieces]:
    """Rows that fell due: new ones, and scheduled ones that became due. New scheduled rows don't count yet."""
    assert history.read_at is not None
    rows: dict[Group, int] = {}
    for key, depth in reading.depths.items():
        before = history.counts.get(key)
        group = group_of(tenants, key)
        rows[group] = rows.get(group, 0) + depth.arrivals
        if before is None and Key(key.type, OTHERS) in history.counts:
            group = Group(key.type, None)  # its scheduled rows were counted there
        rows[group] = rows.get(group, 0) - (depth.later - (_ABSENT if before is None else before).later)
    for key, count in history.counts.items():
        if key not in reading.depths:
            group = Group(key.type, None) if Key(key.type, OTHERS) in reading.depths else group_of(tenants, key)
            rows[group] = rows.get(group, 0) + count.later
    flow = {
        group: arrival_rate.added(
            history.flow.get(group, ()),
            start=history.read_at,
            end=reading.taken_at,
            rows=max(0, rows.get(group, 0)),
        )
        for group in {**history.flow, **rows}
    }
    return {group: pieces for group, pieces in flow.items() if pieces}


def _count_of(key: Key, depth: Depth, history: History, seconds: float, types: Mapping[str, Learned]) -> Count:
    """If counting stopped, the estimate is the last one, plus the arrivals, minus what the running slots finished.

    Counted to 1,000 with an estimate of 5,000 before, 200 arrived, 40 ran for 2 s at S = 1 s:
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
    """Ends with one successful attempt of any type, or after a minute without a failure and without jobs."""
    if any(depth.succeeded for depth in reading.depths.values()):
        return None
    if any(depth.failed for depth in reading.depths.values()):
        return Failing(reading.taken_at if before is None else before.since, reading.taken_at)
    if before is None or reading.taken_at - before.last_at < FAILING_KEPT_SECONDS:
        return before
    return before if any(_will_be_tried(depth) for depth in reading.depths.values()) else None


def _will_be_tried(depth: Depth) -> bool:
    """False for rows scheduled at infinity: they are never attempted."""
    return depth.due > 0 or depth.running > 0 or depth.next_due_at is not None
