"""Which pools a tick must look at. An idle one costs nothing until something happens to it."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import replace

from jobtide_controller.loop.term import DatabaseState, PoolState


def due_pools(state: DatabaseState, changed: AbstractSet[str], with_jobs: Collection[str], now: float) -> set[str]:
    """The UIDs of the pools that are not idle, changed, have jobs, or are due by `wake_at`.

    Ten thousand idle pools cost one look at each record, about a millisecond.
    """
    due = {uid for uid, pool in state.pools.items() if not pool.is_idle or _is_time(pool, now)}
    return due | ((changed | set(with_jobs)) & state.pools.keys())


def wake_at(state: DatabaseState) -> float | None:
    """The earliest moment at which a pool wants to be looked at; None: no pool has set one."""
    return min((pool.wake_at for pool in state.pools.values() if pool.wake_at is not None), default=None)


def end_idle(pool: PoolState, read_at: float | None) -> None:
    """An idle pool has seen every reading up to the last one: in none of them was anything of its types."""
    history = pool.history
    if pool.is_idle and history is not None and history.read_at is not None and read_at is not None:
        pool.history = replace(history, read_at=max(history.read_at, read_at))


def _is_time(pool: PoolState, now: float) -> bool:
    return pool.wake_at is not None and pool.wake_at <= now
