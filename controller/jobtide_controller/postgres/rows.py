"""The rows of one reading's statements as a Reading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from heapq import nlargest
from typing import Any

from jobtide_controller.decide.reading import OTHERS, Depth, Key, PodRun, Reading
from jobtide_controller.postgres.arrivals import Arrivals, Seen
from jobtide_controller.postgres.laps import Lap, Waiting

NAMED = 50  # tenants of one type that are shown by name, where most are not

_NOTHING = Depth()
_Depths = dict[Key, Depth]
_Counts = dict[str, dict[Key, int]]


def reading_of(
    rows: Sequence[Mapping[str, Any]],
    before: Arrivals,
    *,
    depth_cap: int,
    query_seconds: float,
    laps: Mapping[str, Lap],
    least_limits: Mapping[str, int],
) -> tuple[Reading, Arrivals]:
    """The Reading, and the Arrivals that the next one compares with.

    `laps`: the types that have too many tenants for one reading. Of the running jobs of such a type each tenant has its
    own number only if it is limited in them.
    """
    taken_at = rows[0]["taken_at"]
    holding = {Key(row["type"], row["tenant_id"]) for row in rows if row["running"] and row["type"] in least_limits}
    depths = _of_laps(laps, least_limits, holding, taken_at)
    overlap: dict[Key, int] = {}
    pods: _Counts = {}
    lapsed: _Counts = {}
    for row in rows:
        if row["type"] is None:
            continue
        own = Key(row["type"], row["tenant_id"])
        key, depth = own, _depth(row, before.count(own, _seen(row)), depth_cap)
        if key.type in laps:
            key = own if own in depths or own in holding else Key(key.type, OTHERS)
            depth = _joined(depths.get(key, _NOTHING), row, depth.arrivals)
        if depth != _NOTHING:
            depths[key] = depth
        if row["arrivals_overlap"]:
            overlap[own] = row["arrivals_overlap"]
        _add(pods, key, row["pods"])
        _add(lapsed, key, row["lapsed"])
    runs = {uid: PodRun(running, lapsed.get(uid, {})) for uid, running in pods.items()}
    return Reading(taken_at, depths, runs, query_seconds), Arrivals(taken_at, overlap)


def _of_laps(
    laps: Mapping[str, Lap], least_limits: Mapping[str, int], holding: AbstractSet[Key], taken_at: float
) -> _Depths:
    """What waits: for the tenants with the most rows and for those that a limit may concern, and for all others."""
    depths: _Depths = {}
    for type_, lap in laps.items():
        named, others = lap.total()
        limit = least_limits.get(type_, math.inf)
        deepest = set(nlargest(NAMED, named, key=lambda tenant: named[tenant].due + named[tenant].later))
        for tenant, waiting in named.items():
            if tenant in deepest or waiting.due >= limit or Key(type_, tenant) in holding:
                depths[Key(type_, tenant)] = _waiting_depth(waiting, taken_at, is_complete=True)
            else:
                others += waiting
        if others.tenants or not lap.complete:
            depths[Key(type_, OTHERS)] = _waiting_depth(others, taken_at, is_complete=lap.complete)
    return depths


def _waiting_depth(waiting: Waiting, taken_at: float, *, is_complete: bool) -> Depth:
    """Parts are rounded up: where something waits, the number says so."""
    oldest_at, mean_at = waiting.oldest_at, waiting.mean_at
    is_aged = waiting.due > 0 and oldest_at is not None and mean_at is not None
    return Depth(
        due=math.ceil(waiting.due),
        later=math.ceil(waiting.later),
        oldest_age_seconds=max(0.0, taken_at - oldest_at) if is_aged and oldest_at is not None else 0.0,
        mean_age_seconds=max(0.0, taken_at - mean_at) if is_aged and mean_at is not None else 0.0,
        capped=waiting.capped or not is_complete,
        next_due_at=waiting.next_due_at,
        tenants=math.ceil(waiting.tenants),
    )


def _joined(depth: Depth, row: Mapping[str, Any], arrivals: int) -> Depth:
    """A tenant's running and new rows beside what waits. A new row is due before its tenant's slice is read again."""
    return replace(
        depth,
        due=max(depth.due, row["arrivals_due"]),
        running=depth.running + row["running"],
        arrivals=depth.arrivals + arrivals,
        succeeded=depth.succeeded + row["succeeded"],
        failed=depth.failed + row["failed"],
    )


def _add(counts: _Counts, key: Key, jobs_by_uid: Mapping[str, int] | None) -> None:
    for uid, jobs in (jobs_by_uid or {}).items():
        of_uid = counts.setdefault(uid, {})
        of_uid[key] = of_uid.get(key, 0) + jobs


def _seen(row: Mapping[str, Any]) -> Seen:
    return Seen(row["arrivals_new"], row["arrivals_again"], row["arrivals_overlap"])


def _depth(row: Mapping[str, Any], arrivals: int, depth_cap: int) -> Depth:
    next_due_at = row["next_due_at"]
    return Depth(
        due=row["due"],
        later=row["later"],
        running=row["running"],
        oldest_age_seconds=row["oldest_age_seconds"],
        mean_age_seconds=row["mean_age_seconds"],
        capped=row["due"] >= depth_cap or row["later"] >= depth_cap,
        # A row at `infinity` never falls due.
        next_due_at=None if next_due_at == float("inf") else next_due_at,
        arrivals=arrivals,
        succeeded=row["succeeded"],
        failed=row["failed"],
    )
