"""Learns from each reading: how long jobs take, how fast rows fall due, how many wait.

By Little's law, the slots in use, integrated over time, divided by the jobs that ended in that time, are the seconds
that a job holds its slot. The table is enough for that: no worker measures or reports anything.
docs/adr/2026-11-24-scaling-law.md says how the constants were measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from jobtide_controller.api.spec import Tenants
from jobtide_controller.decide.fallen_due import fallen_due, flow_with
from jobtide_controller.decide.history import RECENT_SECONDS, Count, Failing, History, Learned
from jobtide_controller.decide.reading import Depth, Key, Reading

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
    due = fallen_due(tenants, reading, history)
    return replace(
        history,
        read_at=reading.taken_at,
        types=types,
        flow=flow_with(due, reading, history),
        put_off={group: one.put_off for group, one in due.items() if one.put_off},
        counts={key: _count_of(key, depth, history, seconds, types) for key, depth in reading.depths.items()},
        failing=_failing(reading, history.failing),
    )


def estimated_due(key: Key, depth: Depth, history: History) -> float:
    """The number of due rows: as counted, or as estimated if counting stopped."""
    count = history.counts.get(key)
    return float(depth.due) if count is None or not depth.capped else max(float(depth.due), count.estimate)


@dataclass(slots=True)
class _Change:
    """One type between two readings, over all tenants of which it is known what ran and ended."""

    ended: float = 0.0  # jobs
    slot_seconds: float = 0.0
    later: int = 0  # change of the rows that back off or are scheduled
    running: int = 0  # jobs of all tenants, now
    ran: bool = False  # some did at one of the readings

    def add(self, before: Count, now: Depth, used: _Used | None) -> None:
        self.running += now.running
        self.ran |= before.running > 0 or now.running > 0
        if used is not None:
            self.ended += used.ended
            self.slot_seconds += used.slot_seconds
            self.later += now.later - before.later


class _Used(NamedTuple):
    """What the jobs of one key did between two readings."""

    ended: float  # rows that neither wait nor run any more
    slot_seconds: float  # slots in use, integrated


def _used(before: Count, now: Depth, seconds: float) -> _Used | None:
    """10 arrived, and there are 4 rows more than before: 6 ended. 3 ran and 5 run, 2 s apart: 8 slot seconds.

    None if it is not known.
    """
    if before.capped or now.capped:
        return _used_by_followed(before, now)
    waiting_and_running = now.due + now.later + now.running - before.due - before.later - before.running
    return _Used(now.arrivals - waiting_and_running, (before.running + now.running) / 2 * seconds)


def _used_by_followed(before: Count, now: Depth) -> _Used | None:
    """Where counting stopped, the jobs that were followed stand for all that ran.

    160 ran, 64 of them were followed for 60 s in total, 16 ended: 40 jobs and 150 slot seconds. If all of them ended,
    only the rest of each was seen, half of an even job and all of a random one: half as much is added.
    """
    if not now.followed or (now.failed and not now.followed_ended):
        return None
    each = before.running / now.followed
    unseen = 1.5 if now.followed_ended == now.followed else 1.0
    return _Used(now.followed_ended * each, now.followed_seconds * each * unseen)


def _restarted(reading: Reading, history: History) -> History:
    """After the first reading, or the first since a clock was corrected: there is none to compare it with."""
    return History(
        began_at=reading.taken_at,
        read_at=reading.taken_at,
        types=history.types,
        counts={key: _count(depth, float(max(depth.due, depth.about))) for key, depth in reading.depths.items()},
        recommendations=history.recommendations,
    )


def _changes(reading: Reading, history: History) -> Mapping[str, _Change]:
    assert history.read_at is not None
    seconds = reading.taken_at - history.read_at
    changes: dict[str, _Change] = {}
    gone = {key: _NOTHING for key in history.counts if key not in reading.depths}
    for key, now in {**reading.depths, **gone}.items():
        before = history.counts.get(key, _ABSENT)
        changes.setdefault(key.type, _Change()).add(before, now, _used(before, now, seconds))
    return changes


def _learn_service_time(learned: Learned, change: _Change, seconds: float) -> Learned:
    learned = replace(learned, running=change.running)
    if seconds > GAP_SECONDS:
        return learned
    if change.ran:
        learned = replace(learned, ran_seconds=learned.ran_seconds + seconds)
    slot_seconds, ended = change.slot_seconds, max(0.0, change.ended)
    # Attempts that fail use slots but end no job: S would grow without bound.
    failing = ended == 0 and change.later > 0
    if failing or (slot_seconds == 0 and ended == 0):
        return learned
    # The memory is eight service times, 120 to 1,200 s: at S = 1 s, exp(-1/120) = 99.2 % is kept each second.
    kept = math.exp(-seconds / min(max(8.0 * learned.lasting_service_seconds, 120.0), 1200.0))
    learned = replace(
        learned, slot_seconds=learned.slot_seconds * kept + slot_seconds, jobs=learned.jobs * kept + ended
    )
    if change.later > 0:  # some attempts failed
        return learned
    kept = math.exp(-seconds / RECENT_SECONDS)
    return replace(
        learned,
        recent_slot_seconds=learned.recent_slot_seconds * kept + slot_seconds,
        recent_jobs=learned.recent_jobs * kept + ended,
    )


def _count_of(key: Key, depth: Depth, history: History, seconds: float, types: Mapping[str, Learned]) -> Count:
    """If counting stopped, the estimate is a sample, or the last one plus the arrivals minus what ended.

    Counted to 1,000 with an estimate of 5,000 before, 200 arrived, 40 ran for 2 s at S = 1 s:
    5,000 + 200 - 80 = 5,120.
    """
    if not depth.capped:
        return _count(depth, float(depth.due))
    if depth.about:
        return _count(depth, float(max(depth.due, depth.about)))
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
