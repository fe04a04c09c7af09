"""The rows of one reading's statements as a Reading."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
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
    paused: AbstractSet[str] = frozenset(),
) -> tuple[Reading, Arrivals]:
    """The Reading, and the Arrivals that the next one compares with.

    `laps`: the types that have too many tenants for one reading. Of the running jobs of such a type each tenant has its
    own number only if it is limited in them; `paused` tenants have theirs always.
    """
    taken_at = rows[0]["taken_at"]
    holding = {Key(row["type"], row["tenant_id"]) for row in rows if row["running"] and row["type"] in least_limits}
    holding |= {Key(type_, tenant) for type_ in laps if type_ in least_limits for tenant in paused}
    depths = _of_laps(laps, least_limits, holding, taken_at)
    new: dict[Key, int] = {}
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
            new[key] = new.get(key, 0) + row["arrivals_due"]
            depth = _joined(depths.get(key, _NOTHING), row, depth.arrivals, new[key])
        if depth != _NOTHING:
            depths[key] = depth
        if row["arrivals_overlap"]:
            overlap[own] = row["arrivals_overlap"]
        _add(pods, key, row["pods"])
        _add(lapsed, key, row["lapsed"])
    runs = {uid: PodRun(running, lapsed.get(uid, {})) for uid, running in pods.items()}
    return Reading(taken_at, depths, runs, query_seconds), Arrivals(taken_at, overlap)


def running_of(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    """The running rows of each type."""
    running: dict[str, int] = {}
    for row in rows:
        if row["type"] is not None:
            running[row["type"]] = running.get(row["type"], 0) + row["running"]
    return running


def arrivals_of(
    rows: Sequence[Mapping[str, Any]], before: Arrivals, types: Collection[str]
) -> Mapping[str, Mapping[str, Waiting]]:
    """The new rows of these types, by type and tenant, due or scheduled."""
    found: dict[str, dict[str, Waiting]] = {}
    for row in rows:
        if row["type"] not in types:
            continue
        arrivals = before.count(Key(row["type"], row["tenant_id"]), _seen(row))
        if arrivals:
            late = arrivals - row["arrivals_new"]  # those whose transaction committed late
            later = row["later_new"] + round(late * row["later_again"] / max(1, row["arrivals_again"]))
            new = Waiting(due=arrivals - later, later=later, next_due_at=row["arrivals_next_due_at"])
            found.setdefault(row["type"], {})[row["tenant_id"]] = new
    return found


def _of_laps(
    laps: Mapping[str, Lap], least_limits: Mapping[str, int], holding: AbstractSet[Key], taken_at: float
) -> _Depths:
    """What waits: for the tenants with the most rows and for those that a limit may concern, and for all others."""
    depths: _Depths = {}
    for type_, lap in laps.items():
        limit = least_limits.get(type_)
        named, others = _named_and_others(lap, limit, {key.tenant_id for key in holding if key.type == type_}, taken_at)
        is_exact = lap.complete
        if lap.counted is not None:
            # Before each limited tenant was looked at, the rows of one at its limit would count as those of others.
            is_exact = not lap.counted.waiting.capped and (lap.complete or limit is None)
            if is_exact:
                named, others = _as_counted(lap.counted.now, named, others)
        for tenant, waiting in named.items():
            depths[Key(type_, tenant)] = _waiting_depth(waiting, taken_at, is_exact=True)
        if others.tenants or others.due or others.later or not is_exact:
            depths[Key(type_, OTHERS)] = _waiting_depth(others, taken_at, is_exact=is_exact)
    return depths


def _named_and_others(
    lap: Lap, limit: int | None, holding: AbstractSet[str], taken_at: float
) -> tuple[dict[str, Waiting], Waiting]:
    known, others = lap.total()
    deepest = set(nlargest(NAMED, known, key=lambda tenant: known[tenant].due + known[tenant].later))
    named = {}
    for tenant, waiting in known.items():
        # Scheduled rows that have begun to fall due since they were counted may all be due.
        is_later = waiting.next_due_at is None or waiting.next_due_at > taken_at
        due = waiting.due + lap.news.get(tenant, 0.0) + (0 if is_later else waiting.later)
        if tenant in deepest or tenant in holding or (limit is not None and (due >= limit or waiting.capped)):
            named[tenant] = waiting if limit is None else replace(waiting, due=due)
        else:
            others += waiting
    if limit is not None:
        for tenant, due in lap.news.items():
            if tenant not in known and due >= limit:
                named[tenant] = Waiting(tenants=1, due=due)
    return named, others


def _as_counted(whole: Waiting, named: Mapping[str, Waiting], others: Waiting) -> tuple[dict[str, Waiting], Waiting]:
    """The same tenants, so that their sum is what was counted of the whole type.

    Rows that no tenant is known to have belong to one that was not counted to its end; without such a tenant, to
    the others.
    """
    cut = [tenant for tenant, waiting in named.items() if waiting.capped]
    deepest = max(cut, key=lambda tenant: named[tenant].due, default=None)
    found = {}
    due, later = whole.due, whole.later
    for tenant, waiting in named.items():
        found[tenant] = replace(
            waiting,
            due=min(waiting.due, due),
            later=min(waiting.later, later),
            oldest_at=whole.oldest_at if waiting.oldest_at is None else max(waiting.oldest_at, whole.oldest_at or 0.0),
            capped=waiting.capped and len(cut) > 1,
        )
        due, later = due - found[tenant].due, later - found[tenant].later
    if deepest is not None:
        rest = found[deepest]
        more_due, more_later = max(0.0, due - others.due), max(0.0, later - others.later)
        found[deepest] = replace(rest, due=rest.due + more_due, later=rest.later + more_later)
        due, later = due - more_due, later - more_later
    return found, replace(whole, tenants=min(others.tenants, due + later), due=due, later=later)


def _waiting_depth(waiting: Waiting, taken_at: float, *, is_exact: bool) -> Depth:
    """Parts are rounded up: where something waits, the number says so."""
    oldest_at, mean_at = waiting.oldest_at, waiting.mean_at
    is_aged = waiting.due > 0 and oldest_at is not None and mean_at is not None
    return Depth(
        due=math.ceil(waiting.due),
        later=math.ceil(waiting.later),
        oldest_age_seconds=max(0.0, taken_at - oldest_at) if is_aged and oldest_at is not None else 0.0,
        mean_age_seconds=max(0.0, taken_at - mean_at) if is_aged and mean_at is not None else 0.0,
        capped=waiting.capped or not is_exact,
        next_due_at=waiting.next_due_at,
        tenants=math.ceil(waiting.tenants),
    )


def _joined(depth: Depth, row: Mapping[str, Any], arrivals: int, new: int) -> Depth:
    """A tenant's running and new rows beside what waits. Where not all were counted, `new` ones are due at once."""
    return replace(
        depth,
        due=max(depth.due, new) if depth.capped else depth.due,
        running=depth.running + row["running"],
        arrivals=depth.arrivals + arrivals,
        succeeded=depth.succeeded + row["succeeded"],
        failed=depth.failed + row["failed"],
        followed=depth.followed + row["followed"],
        followed_ended=depth.followed_ended + row["followed_ended"],
        followed_seconds=depth.followed_seconds + row["followed_seconds"],
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
        capped=row["is_cut"] or row["due"] >= depth_cap or row["later"] >= depth_cap,
        # A row at `infinity` never falls due.
        next_due_at=None if next_due_at == float("inf") else next_due_at,
        arrivals=arrivals,
        succeeded=row["succeeded"],
        failed=row["failed"],
        followed=row["followed"],
        followed_ended=row["followed_ended"],
        followed_seconds=row["followed_seconds"],
    )
