"""Shares one database's connection budget among its pools."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jobtide_controller.decide.connection_shares import ConnectionRequest, divide
from jobtide_controller.loop.term import DatabaseState, PoolState


def put_request(state: DatabaseState, uid: str, request: ConnectionRequest) -> bool:
    """Keeps what the pool asks for; True if that is new. A pool that has and asks for nothing keeps no request."""
    pool, wanted = state.pools[uid], None if request.is_nothing else request
    if pool.request == wanted:
        return False
    pool.request = wanted
    return True


def keep_leaving(state: DatabaseState, gone: Iterable[PoolState], is_alive: Callable[[str], bool]) -> bool:
    """Workers of deleted pools hold their connections until they have ended. True if the division changes by that."""
    had_part = False
    for pool in gone:
        if pool.request is not None:
            had_part = True
            state.leaving |= dict.fromkeys(pool.worker_uids, pool.request.connections)
    ended = [uid for uid in state.leaving if not is_alive(uid)]
    for uid in ended:
        del state.leaving[uid]
    return had_part or bool(ended)


def divide_budget(state: DatabaseState) -> set[str]:
    """Divides the budget again; the UIDs of the pools whose number of workers changed."""
    assert state.connections is not None
    requests = {uid: pool.request for uid, pool in state.pools.items() if pool.request is not None}
    granted = divide(state.connections - _held_by_leaving(state), requests)
    changed = {uid for uid, pool in state.pools.items() if pool.granted_workers != granted.get(uid, 0)}
    for uid in changed:
        state.pools[uid].granted_workers = granted.get(uid, 0)
    return changed


def _held_by_leaving(state: DatabaseState) -> int:
    """Without those that a new pool of the same name counts as its own."""
    if not state.leaving:
        return 0
    counted = frozenset[str]().union(*(pool.worker_uids for pool in state.pools.values()))
    return sum(connections for uid, connections in state.leaving.items() if uid not in counted)
