"""The loop's ports Scaler and Writes over processes of this machine: one term that lasts until the command ends."""

from __future__ import annotations

from collections.abc import Callable

from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.embedded.workers import LocalWorkers
from jobtide_controller.loop.pools import Pools
from jobtide_controller.loop.ports import PoolEntry, Scaling, Status, WriteFailure


class LocalScaler:
    """One pool's Scaler. Its orders take effect at once, so no write is ever under way."""

    __slots__ = ("_pools", "_uid", "_workers")

    def __init__(self, pool_uid: str, pools: Pools, workers: LocalWorkers) -> None:
        self._uid = pool_uid
        self._pools = pools
        self._workers = workers

    @property
    def failure(self) -> WriteFailure | None:
        failure = self._workers.crew(self._uid).failure
        return None if failure is None else WriteFailure(failure)

    def scale(self, replicas: int, fleet: Callable[[], Fleet]) -> Scaling:
        if self._pools.get(self._uid) is not None:
            self._workers.crew(self._uid).scale(replicas, fleet)
        return Scaling(is_due=False)

    def close(self) -> None:
        """No cluster deletes the workers of a deleted pool: they drain."""
        self._workers.crew(self._uid).converge()


class LocalWrites:
    """The statuses are stored in the pools' entries."""

    def __init__(self, pools: Pools, workers: LocalWorkers) -> None:
        self._pools = pools
        self._workers = workers

    def scaler(self, pool_uid: str) -> LocalScaler:
        return LocalScaler(pool_uid, self._pools, self._workers)

    def tell_status(self, entry: PoolEntry, status: Status) -> None:
        known = self._pools.get(entry.uid)
        if known is not None:
            known.status = status

    def end(self) -> None:
        """Nothing waits."""
