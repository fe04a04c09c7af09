"""One database's connection budget from tick to tick: what its pools ask for, and what each was given."""

from __future__ import annotations

from jobtide_controller.decide.connection_shares import ConnectionRequest, divide
from jobtide_controller.decide.fleet import Share


class Budget:
    """Pools that ask for nothing and have nothing aren't kept: ten thousand idle pools cost as much as one."""

    def __init__(self, connections: int | None) -> None:
        self.connections = connections
        self._bids: dict[str, ConnectionRequest] = {}
        self._workers: dict[str, int] = {}
        self._is_stale = False

    def put(self, uid: str, connection_request: ConnectionRequest) -> None:
        if connection_request.is_nothing:
            self.forget(uid)
        elif self._bids.get(uid) != connection_request:
            self._bids[uid] = connection_request
            self._is_stale = True

    def forget(self, uid: str) -> None:
        self._workers.pop(uid, None)
        if self._bids.pop(uid, None) is not None:
            self._is_stale = True

    def clear(self) -> None:
        """Another controller led meanwhile."""
        self._bids.clear()
        self._workers.clear()

    def divide(self) -> set[str]:
        """Share out anew where somebody asks for something new; the pools that may have more or fewer workers now."""
        if self.connections is None or not self._is_stale:
            return set()
        self._is_stale = False
        before, self._workers = self._workers, divide(self.connections, self._bids)
        return {uid for uid, workers in self._workers.items() if before.get(uid) != workers}

    def share(self, uid: str) -> Share | None:
        """None: this database has no budget."""
        if self.connections is None:
            return None
        connection_request = self._bids.get(uid)
        each = ConnectionRequest(0).connections if connection_request is None else connection_request.connections
        return Share(self._workers.get(uid, 0), each, self.connections)

    @property
    def granted(self) -> int:
        """Connections of all workers that may run now."""
        return sum(self._bids[uid].connections * workers for uid, workers in self._workers.items())
