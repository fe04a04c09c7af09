"""Keeps the limits of one database's tenants: tells the source which pools changed, and remembers what it found."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice

from jobtide_controller.api.spec import Tenants
from jobtide_controller.decide.limits import pool_limits
from jobtide_controller.loop.ports import Pools, Source
from jobtide_controller.loop.term import DatabaseState, LimitsState

MOST_POOLS = 2_000  # in one call


def follow(state: DatabaseState, pools: Pools, changed: AbstractSet[str]) -> None:
    """Notes the pools whose limits may have changed, and those that are gone."""
    limits = state.limits
    for uid in changed if limits.names else changed | state.pools.keys():
        entry = pools.get(uid) if uid in state.pools else None
        if entry is None:
            _drop(limits, uid)
        elif entry.refusal is None:  # a refused pool's limits stay as they are
            _note(limits, uid, str(entry.ref), entry.tenants)


def _note(limits: LimitsState, uid: str, name: str, tenants: Tenants) -> None:
    if limits.names.get(uid) != name or limits.tenants[uid] != tenants:
        limits.changed[name] = pool_limits(name, tenants)
    limits.names[uid], limits.tenants[uid] = name, tenants
    limits.gone.discard(name)


def _drop(limits: LimitsState, uid: str) -> None:
    name = limits.names.pop(uid, None)
    limits.tenants.pop(uid, None)
    if name is not None and name not in limits.names.values():  # a new pool may have the name already
        limits.changed.pop(name, None)
        limits.gone.add(name)


async def keep(source: Source, pools: Pools, state: DatabaseState) -> None:
    """One call of the source. A change of what holds wakes every pool."""
    limits = state.limits
    changed, gone = dict(islice(limits.changed.items(), MOST_POOLS)), sorted(limits.gone)
    kept = await source.keep_limits(list(changed.values()), gone)
    if kept is None:
        return
    _forget(limits, changed, gone)
    pools.note_stored(source.name, is_stored=kept.is_stored)
    if (kept.trouble, kept.has_view) != (limits.kept.trouble, limits.kept.has_view):
        for pool in state.pools.values():
            pool.is_idle = False
    limits.kept = kept


async def forget(source: Source, state: DatabaseState) -> None:
    """The last pool of the database is gone, and with it what a later call would give."""
    names = sorted({*state.limits.names.values(), *state.limits.gone})
    if names:
        await source.keep_limits([], names)


def _forget(limits: LimitsState, changed: Mapping[str, object], gone: Collection[str]) -> None:
    """Only what the source has: more may have changed while it worked."""
    for name, given in changed.items():
        if limits.changed.get(name) is given:
            del limits.changed[name]
    limits.gone.difference_update(gone)
