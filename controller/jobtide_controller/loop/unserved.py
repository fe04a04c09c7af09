"""Types with waiting jobs that no pool handles: kept for statuses and metrics, and emitted when there is a new one."""

from __future__ import annotations

from jobtide_controller.decide.reading import Reading
from jobtide_controller.decide.unserved import EVENT_SECONDS, first_of_each_namespace, unserved_types
from jobtide_controller.loop.ports import Pools
from jobtide_controller.loop.term import DatabaseState
from jobtide_controller.render.sentence import unserved
from jobtide_controller.telemetry.events import Emit, TypesUnserved


def note_unserved(name: str, state: DatabaseState, reading: Reading, pools: Pools, *, now: float, emit: Emit) -> None:
    """Takes over what the reading found.

    A finding concerns the whole database: the first pool of each namespace that may use it shows it, so that a
    namespace with a thousand pools gets one Event, and one that may not use it gets none.
    """
    known = state.unserved
    if not (reading.unserved or known.found):
        return
    found = unserved_types(reading.unserved, lambda type_: bool(pools.of_type(name, type_)))
    if found == known.found:
        return
    entries = [entry for uid in pools.of_database(name) if (entry := pools.get(uid)) is not None]
    first = first_of_each_namespace(
        (entry.ref, entry.uid) for entry in entries if entry.refusal is None and entry.not_allowed is None
    )
    for uid in known.shown_by | first.keys():
        if uid in state.pools:
            state.pools[uid].is_idle = False
    known.found, known.shown_by = found, frozenset(first)
    types = frozenset(one.type for one in found)
    is_new = bool(types - known.named) and (known.named_at is None or now - known.named_at >= EVENT_SECONDS)
    if is_new or (known.named and not types):
        known.named = types
        known.named_at = now if types else known.named_at
        shown = tuple((ref, uid) for uid, ref in first.items())
        emit(TypesUnserved(name, tuple(one.type for one in found), unserved(name, found), shown))
