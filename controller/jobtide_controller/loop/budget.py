"""Shares one database's connection budget among its pools."""

from __future__ import annotations

from jobtide_controller.decide.connection_shares import ConnectionRequest, divide
from jobtide_controller.loop.term import DatabaseState


def put_request(state: DatabaseState, uid: str, request: ConnectionRequest) -> bool:
    """Keeps what the pool asks for; True if that is new. A pool that has and asks for nothing keeps no request."""
    pool, wanted = state.pools[uid], None if request.is_nothing else request
    if pool.request == wanted:
        return False
    pool.request = wanted
    return True


def divide_budget(state: DatabaseState) -> set[str]:
    """Divides the budget again; the UIDs of the pools whose number of workers changed."""
    assert state.connections is not None
    requests = {uid: pool.request for uid, pool in state.pools.items() if pool.request is not None}
    granted = divide(state.connections, requests)
    changed = {uid for uid, pool in state.pools.items() if pool.granted_workers != granted.get(uid, 0)}
    for uid in changed:
        state.pools[uid].granted_workers = granted.get(uid, 0)
    return changed
