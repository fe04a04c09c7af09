"""Pure: what the controller knows, as the JSON documents of the page. docs/page.md lists them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from jobtide_controller.api.spec import DEFAULT_MAX_WAIT_SECONDS
from jobtide_controller.decide.reading import Unreadable
from jobtide_controller.loop.pools import ParsedTexts, PoolEntry
from jobtide_controller.page.depths import Depths, Total
from jobtide_controller.page.promises import Held, held, nearest
from jobtide_controller.page.rights import Rights
from jobtide_controller.page.snapshot import DatabaseView, Snapshot
from jobtide_controller.render.sentence import unreadable
from jobtide_controller.render.status import readable
from jobtide_controller.telemetry.metrics import PoolGauges

Json = dict[str, Any]

POOLS_SHOWN = 1_000
BROKEN, WARNING, FINE = 2, 1, 0

# The status of a condition that is good; Progressing is neither.
GOOD = {
    "Ready": "True",
    "DatabaseReachable": "True",
    "SchemaReady": "True",
    "ScalingActive": "True",
    "KeepingUp": "True",
    "TableHealthy": "True",
    "Paused": "False",
    "Stalled": "False",
}
_BREAKS = frozenset({"Ready", "DatabaseReachable", "Stalled"})
_WARNS = frozenset({"SchemaReady", "KeepingUp", "TableHealthy", "ScalingActive"})
# Limits that the user set on purpose: with them a pool is as it should be.
_CHOSEN = frozenset({"Paused", "Pinned", "CappedByTenant"})

UNREPORTED = "no controller has reported on this pool yet"

# The page's own: it parses in another thread than the loop, and each look reads all pools.
PARSED_CHARACTERS = 4_000_000
_parsed_spec: ParsedTexts[Json] = ParsedTexts(lambda text: json.loads(text).get("spec") or {}, PARSED_CHARACTERS)
_parsed_status: ParsedTexts[Json] = ParsedTexts(lambda text: readable(json.loads(text)).as_object(), PARSED_CHARACTERS)


def overview(
    snapshot: Snapshot, row_of: Callable[[PoolEntry], Json], rights: Rights, with_jobs: Collection[str]
) -> Json:
    """The pools that the viewer may see, what is wrong first, POOLS_SHOWN of them; and the databases of all of them.

    `row_of` gives a pool's row; `with_jobs` are the databases whose jobs can be looked at.
    """
    seen = [entry for entry in snapshot.pools if entry.ref.namespace in rights.sees]
    rows = sorted(map(row_of, seen), key=_worst_first)
    of_database: dict[str, list[Json]] = {}
    for row in rows:
        of_database.setdefault(row["database"], []).append(row)
    databases = [
        database_row(name, snapshot.databases.get(name), has_jobs=name in with_jobs)
        | {
            "unserved": unserved(own),
            "may": may((row["namespace"] for row in own), rights),
        }
        for name, own in sorted(of_database.items())
    ]
    allowed = {namespace: may([namespace], rights) for namespace in rights.sees}
    return {
        "now": snapshot.taken_at,
        "pools": [{**row, "may": allowed[row["namespace"]]} for row in rows[:POOLS_SHOWN]],
        "pools_total": len(rows),
        "databases": databases,
    }


def may(namespaces: Iterable[str], rights: Rights) -> Json:
    """What the viewer may do with pools in at least one of these namespaces."""
    found = frozenset(namespaces)
    return {
        "act": bool(found & rights.namespaces("patch")),
        "payloads": bool(found & rights.namespaces("payloads")),
    }


class Rows:
    """The rows of pools, made again only where something changed: most pools of most looks are idle."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[tuple[object, ...], Json]] = {}  # by UID: what a row follows from, and the row

    def of(self, snapshot: Snapshot, depths: Mapping[str, Depths]) -> Callable[[PoolEntry], Json]:
        """The rows at one look."""
        if len(self._made) > 2 * len(snapshot.pools):
            self._made.clear()
        return lambda entry: self._row(entry, snapshot.databases.get(entry.database), depths.get(entry.database))

    def _row(self, entry: PoolEntry, database: DatabaseView | None, depths: Depths | None) -> Json:
        total = total_of(entry, database, depths)
        near = nearest(held_of(entry, database), entry.types, depths, total)
        facts = entry, entry.status_text, _gauges(entry, database), total, near
        known = self._made.get(entry.uid)
        if known is None or known[0] != facts:
            known = self._made[entry.uid] = facts, pool_row(entry, database, depths)
        return known[1]


def pool_row(entry: PoolEntry, database: DatabaseView | None, depths: Depths | None) -> Json:
    """One pool in the overview, without what its viewer may do."""
    status = status_of(entry)
    gauges, now = _gauges(entry, database), held_of(entry, database)
    total = total_of(entry, database, depths)
    nearest_seconds, promise_seconds = nearest(now, entry.types, depths, total)
    listed = conditions(status)
    return {
        "namespace": entry.ref.namespace,
        "name": entry.ref.name,
        "database": entry.database,
        "types": list(entry.types),
        **total_fields(total),
        "nearest_seconds": nearest_seconds,  # the due job that is nearest to breaking its promise, and this promise
        "promise_seconds": promise_seconds,
        "desired": status.get("desiredReplicas", 0) if gauges is None else gauges.desired,
        "current": status.get("replicas", 0),
        "ready": status.get("readyReplicas", 0) if gauges is None else gauges.ready,
        "busy": gauges.busy if gauges is not None and gauges.readable else None,
        "min": now.min,
        "max": now.max,
        "windows": now.windows_of(promise_seconds),  # that set min, max and the promise
        "reason": status.get("reason") or "NotReported",
        "sentence": entry.refusal or status.get("message") or UNREPORTED,
        "conditions": listed,
        "unserved": status.get("unserved") or [],
        "trouble": _trouble(listed) if listed else WARNING,
    }


def total_of(entry: PoolEntry, database: DatabaseView | None, depths: Depths | None) -> Total | None:
    """The pool's jobs at the last reading; None: not known."""
    if depths is None or database is None or database.reading is not depths.reading or not entry.types:
        return None
    return depths.of_pool(entry.types, held_of(entry, database).tenants)


def held_of(entry: PoolEntry, database: DatabaseView | None) -> Held:
    """The pool's limits that hold now."""
    return held(spec_of(entry), _gauges(entry, database))


def database_row(name: str, view: DatabaseView | None, *, has_jobs: bool) -> Json:
    """One database in the overview."""
    reading = None if view is None else view.reading
    bad = reading if isinstance(reading, Unreadable) else None
    is_read = reading is not None and bad is None
    return {
        "name": name,
        "reachable": is_read,
        "reason": None if bad is None else str(bad.reason),
        "message": None if bad is None else unreadable(bad),
        "read_at": None if view is None else view.read_at,
        "read_seconds": None if reading is None or isinstance(reading, Unreadable) else reading.query_seconds,
        "jobs": "available" if has_jobs else "no operator URL",
        "warnings": [] if view is None else list(view.warnings),
    }


def total_fields(total: Total | None) -> Json:
    """Counts and age of some jobs; null where they are not known."""
    if total is None:
        return {"waiting": None, "later": None, "oldest_seconds": None, "running": None, "capped": False}
    return {
        "waiting": total.waiting,
        "later": total.later,
        "oldest_seconds": total.oldest_seconds,
        "running": total.running,
        "capped": total.capped,
    }


def unserved(rows: Iterable[Json]) -> list[Json]:
    """The types that no pool handles, from the rows of a database's pools: one of each namespace has them."""
    found = {one["type"]: one for row in rows for one in row["unserved"]}
    return [
        {"type": one["type"], "jobs": one["pending"], "oldest_seconds": float(one.get("oldestSeconds", 0))}
        for one in sorted(found.values(), key=lambda one: (-one["pending"], one["type"]))
    ]


def conditions(status: Json) -> list[Json]:
    """The conditions of a pool, each with whether it is good."""
    return [
        {
            "type": found.get("type", ""),
            "status": found.get("status", "Unknown"),
            "reason": found.get("reason", ""),
            "message": found.get("message", ""),
            "since": seconds_of(found.get("lastTransitionTime")),
            "good": found.get("status") == GOOD.get(found.get("type", ""), found.get("status")),
        }
        for found in status.get("conditions") or ()
    ]


def seconds_of(text: str | None) -> float | None:
    """A time as Kubernetes writes it, in seconds since the epoch."""
    try:
        return None if text is None else datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def status_of(entry: PoolEntry) -> Json:
    """The pool's status as it is stored; an empty one if there is none, or none that can be understood."""
    text = entry.status_text
    return {} if text is None else _parsed_status(text)


def spec_of(entry: PoolEntry) -> Json:
    """The pool's spec as its user wrote it; empty for a refused pool."""
    text = entry.pool_text
    return _parsed_spec(text) if text else {}


def _gauges(entry: PoolEntry, database: DatabaseView | None) -> PoolGauges | None:
    state = None if database is None else database.pools.get(entry.uid)
    return None if state is None else state.gauges


def _trouble(listed: Iterable[Json]) -> int:
    worst = FINE
    for found in listed:
        if found["good"] or found["status"] == "Unknown":
            continue
        if found["type"] in _BREAKS:
            return BROKEN
        if found["type"] in _WARNS and found["reason"] not in _CHOSEN:
            worst = WARNING
    return worst


def _worst_first(row: Json) -> tuple[Any, ...]:
    late = (row["nearest_seconds"] or 0.0) / (row["promise_seconds"] or DEFAULT_MAX_WAIT_SECONDS)
    return -row["trouble"], -late, row["namespace"], row["name"]
