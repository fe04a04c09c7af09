"""Pure: one pool with its history, its decisions and the reasons, as the JSON document of the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from typing import Any

from pydantic import ValidationError

from jobtide_controller.api.status import ClampStatus, DecisionStatus
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.page.depths import Depths
from jobtide_controller.page.documents import Json, seconds_of, spec_of, status_of, total_fields
from jobtide_controller.page.history import Series
from jobtide_controller.page.limits import NO_LIMITING, Limiting, in_force_of, limit_fields
from jobtide_controller.page.promises import Held
from jobtide_controller.plugin import law, why
from jobtide_controller.render import display, sentence

TENANTS_SHOWN = 50
OTHERS = ""  # the key of what is not shown by itself: no type, and no tenant, is empty
LATELY_SECONDS = 60.0  # whose decisions an event repeats


def pool_document(
    entry: PoolEntry,
    row: Json,
    series: Series | None,
    depths: Depths | None,
    *,
    held: Held,
    kept: Sequence[Mapping[str, Any]],
    now: float,
) -> Json:
    """All of one pool. `row` is that of the overview; `series` None: its tenants may not be shown.

    `held` are the limits that hold now.
    `kept` are the decisions in memory; without any, those of the status are shown.
    """
    status, spec = status_of(entry), spec_of(entry)
    pool = _pool(entry, status)
    return {
        "pool": row,
        "spec": {name: value for name, value in spec.items() if name != "template"},
        "facts": _facts(status.get("numbers") or {}),
        "limits": _limits(status.get("limits") or ()),
        "why": row["sentence"] if pool is None else why.render(pool, now),
        "series": None if series is None else series_document(series),
        "decisions": decisions(kept or status.get("decisions") or ()),
        "by_type": [
            {
                "type": type_,
                "promise_seconds": held.promise_of(type_) if held.promises else None,  # None: all have the pool's
                **total_fields(None if depths is None else depths.of_pool([type_], held.tenants)),
            }
            for type_ in entry.types
        ],
    }


def tenants_of(entry: PoolEntry, depths: Depths | None, limiting: Limiting = NO_LIMITING) -> list[Json]:
    """The pool's tenants with the most waiting jobs, then the most running ones."""
    totals = {} if depths is None else depths.by_tenant(entry.types)
    first = nlargest(TENANTS_SHOWN, totals.items(), key=lambda pair: (pair[1].depth, pair[1].running, pair[0]))
    limits = in_force_of([entry], [tenant for tenant, _ in first], limiting)
    return [
        {"tenant": tenant, "label": None, **total_fields(total), **limit_fields(tenant, total.running, limits)}
        for tenant, total in first
    ]


def series_document(series: Series) -> Json:
    """The points of a pool's charts; the depths in the order in which they are stacked."""
    return {
        "step_seconds": series.step_seconds,
        "start": series.start,
        "depth": [
            {"key": OTHERS if key is None else key, "label": "others" if key is None else key, "values": values}
            for key, values in series.depth.items()
        ],
        "oldest": series.oldest,
        "desired": series.desired,
        "ready": series.ready,
        "busy": series.busy,
        "restored_until": series.restored_until,
    }


def newest_point(series: Series) -> Json:
    """The last point of a series, for an event."""
    return {
        "time": series.start + series.step_seconds * (len(series.desired) - 1),
        "depth": {OTHERS if key is None else key: values[-1] for key, values in series.depth.items()},
        "oldest": series.oldest[-1],
        "desired": series.desired[-1],
        "ready": series.ready[-1],
        "busy": series.busy[-1],
    }


def decisions(stored: Iterable[Mapping[str, Any]], since: float = 0.0) -> list[Json]:
    """Decisions as a status has them, newest first, each with its reasons; those after `since` only."""
    found = []
    for one in stored:
        if (seconds_of(one.get("time")) or 0.0) <= since:
            break
        decision = DecisionStatus.model_validate(one)
        found.append(
            {
                "time": decision.time.timestamp(),
                "from": decision.replicas_before,
                "to": decision.replicas,
                "reason": decision.reason,
                "why": _why(decision),
            }
        )
    return found


def _why(decision: DecisionStatus) -> str:
    lines = [decision.message]
    if decision.numbers:
        numbers = sentence.from_numbers(decision.numbers)
        lines += [f"{name}: {expression} = {value}, {words}" for name, expression, value, words in law.terms(numbers)]
    lines += [f"{change}: {words}" for change, _, words in law.limits(decision.limited_by)]
    return "\n".join(lines)


def _facts(stored: Mapping[str, float]) -> list[Json]:
    """The law's numbers in words: the greatest of them is the number of workers before the limits."""
    if not stored:
        return []
    numbers = sentence.from_numbers(stored)
    promise = f"{numbers.per_worker} jobs a worker" if numbers.per_worker else f"{numbers.promise_seconds:g} s"
    facts = [
        ("promise", promise, "what the pool's user asks for"),
        ("slots", str(numbers.concurrency), "jobs at once in a worker"),
        ("start", f"{numbers.start_seconds:.3g} s", "that a worker takes until it is ready"),
        *((name, f"{expression} = {value}", words) for name, expression, value, words in law.terms(numbers)),
        ("required", display.count(numbers.required), "workers: the greatest of these, before the limits"),
    ]
    return [{"label": label, "value": value, "note": note} for label, value, note in facts]


def _limits(stored: Iterable[Mapping[str, Any]]) -> list[str]:
    try:
        clamps = [ClampStatus.model_validate(clamp) for clamp in stored]
    except ValidationError:
        return []
    return [words if words.startswith(change) else f"{change}: {words}" for change, _, words in law.limits(clamps)]


def _pool(entry: PoolEntry, status: Json) -> JobWorkerPool | None:
    """None for a refused pool, and for a status that another client wrote."""
    if not entry.pool_text:
        return None
    try:
        return JobWorkerPool.model_validate({**json.loads(entry.pool_text), "status": status or None})
    except ValidationError:
        return None
