"""Pure: from a snapshot to samples of its pools, and what a status says of the time before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.page.depths import Depths, Total
from jobtide_controller.page.documents import Json, seconds_of, status_of
from jobtide_controller.page.history import UNKNOWN, History, Past, Sample
from jobtide_controller.page.snapshot import Snapshot

BEGUN_AT_ONCE = 5  # pools in one look: what a status says of a day takes 15 ms


def note(history: History, snapshot: Snapshot, depths: Mapping[str, Depths]) -> None:
    """Adds a sample of each pool that does something, or did lately."""
    if not snapshot.leads:
        return
    entries = {entry.uid: entry for entry in snapshot.pools}
    new = (uid for uid in _busy(snapshot) if uid in entries and uid not in history)
    for uid in islice(new, BEGUN_AT_ONCE):
        if history.has_room:
            begin(history, entries[uid], snapshot.taken_at)
    for uid in history.known():
        if uid in entries:
            history.note(uid, snapshot.taken_at, sample(entries[uid], snapshot, depths))
            history.note_decisions(uid, status_of(entries[uid]))
        else:
            history.forget(uid)


def begin(history: History, entry: PoolEntry, now: float) -> None:
    """Remembers a pool from now on, if it is not yet."""
    if entry.uid not in history:
        history.begin(entry.uid, past(status_of(entry)), now)


def sample(entry: PoolEntry, snapshot: Snapshot, depths: Mapping[str, Depths]) -> Sample:
    """The pool as it is now."""
    view = snapshot.databases.get(entry.database)
    state = None if view is None else view.pools.get(entry.uid)
    gauges = None if state is None else state.gauges
    if gauges is None:
        return Sample(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
    found = depths.get(entry.database) if gauges.readable else None
    if view is None or found is None or found.reading is not view.reading:
        return Sample(UNKNOWN, UNKNOWN, gauges.desired, gauges.ready, UNKNOWN)
    total = found.of_pool(entry.types, gauges.tenants)
    by_type = {type_: found.by_type[type_] for type_ in entry.types if type_ in found.by_type}
    by_tenant = found.by_tenant(entry.types) if total.depth else {}
    oldest = total.oldest_seconds or 0.0
    return Sample(total.depth, oldest, gauges.desired, gauges.ready, gauges.busy, _depths(by_type), _depths(by_tenant))


def past(status: Json) -> Iterator[Past]:
    """The decisions in a status, as far as they can be read."""
    for decision in status.get("decisions") or ():
        at, numbers = seconds_of(decision.get("time")), decision.get("numbers") or {}
        if at is not None:
            due, oldest = numbers.get("due", UNKNOWN), numbers.get("oldestSeconds", UNKNOWN)
            yield Past(at, float(decision.get("replicas", UNKNOWN)), float(due), float(oldest))


def _busy(snapshot: Snapshot) -> Iterator[str]:
    for view in snapshot.databases.values():
        for uid, state in view.pools.items():
            gauges = state.gauges
            if gauges is not None and (gauges.pending or gauges.processing or gauges.desired or gauges.ready):
                yield uid


def _depths(totals: Mapping[str, Total]) -> dict[str, float]:
    return {name: total.depth for name, total in totals.items()}
