"""The loop's ports Scaler and Writes over the Kubernetes API: one term's writes, through one queue."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.write.apply import Applier, ConflictError
from jobtide_controller.kube.write.rollouts import Rollouts
from jobtide_controller.kube.write.status_writer import StatusWriter
from jobtide_controller.kube.write.work_queue import Priority, WriteQueue, WriteRequest
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.loop.ports import PoolEntry, Scaling, Status, WriteFailure

# How the API server refuses a field that it does not know: with the path in a Deployment, which is that in a pool, too.
_UNKNOWN_FIELD = re.compile(r"failed to create typed patch object \([^()]*\): (?:errors:)?(.*)", re.DOTALL)


def words_of(error: ApiError) -> str:
    """The API server's message for the pool's condition, with the path of a field that it does not know."""
    found = _UNKNOWN_FIELD.search(error.message)
    if found is None:
        return error.message if isinstance(error, ConflictError) else str(error)
    fields = "; ".join(" ".join(line.split()).removeprefix(".") for line in found[1].splitlines() if line.strip())
    return f"{fields}; correct it or remove it from the pool"


class DeploymentScaler:
    """One pool's Scaler. It queues a write only where the Deployment differs from what was decided."""

    __slots__ = ("_applier", "_inventory", "_queue", "failure")

    def __init__(self, applier: Applier, inventory: Inventory, queue: WriteQueue) -> None:
        self._applier = applier
        self._inventory = inventory
        self._queue = queue
        self.failure: WriteFailure | None = None

    def scale(self, replicas: int, fleet: Callable[[], Fleet]) -> Scaling:
        if self._applier.is_due(replicas):
            self._queue.submit(self._request(replicas, fleet))
            return Scaling(is_due=True)
        # All is as decided: a number that waits to be tried again is out of date.
        self._queue.withdraw(self._applier.uid, "fleet")
        self.failure = None
        return Scaling(is_due=False, again_seconds=self._applier.due_in_seconds())

    def close(self) -> None:
        self._applier.close()

    def _request(self, replicas: int, fleet: Callable[[], Fleet]) -> WriteRequest:
        uid = self._applier.uid
        entry, deployment = self._inventory.pools.get(uid), self._inventory.deployment(uid)
        assert entry is not None  # or nothing is due
        current = 0 if deployment is None else deployment.replicas
        change = Priority.SCALE_DOWN if replicas < current else Priority.CHANGE
        return WriteRequest(
            uid,
            entry.ref,
            "fleet",
            Priority.SCALE_UP if replicas > current else change,
            lambda: self._applier.converge(replicas, fleet),
            on_result=self._note_result,
            version=(entry.generation, replicas),
        )

    def _note_result(self, error: ApiError | None) -> None:
        """A write of the Deployment was answered: the pool's status shows it after the next pass."""
        before, self.failure = self.failure, None
        if error is not None:
            self.failure = WriteFailure(words_of(error), is_conflict=isinstance(error, ConflictError))
        if before != self.failure:
            self._inventory.wake(self._applier.uid)


class KubeWrites:
    """One term's writes."""

    def __init__(
        self,
        inventory: Inventory,
        writer: Writer,
        queue: WriteQueue,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inventory = inventory
        self._writer = writer
        self._queue = queue
        self._monotonic = monotonic
        self._statuses = StatusWriter(inventory, writer, queue)
        self._rollouts = Rollouts(inventory.wake)

    def scaler(self, pool_uid: str) -> DeploymentScaler:
        applier = Applier(pool_uid, self._inventory, self._writer, self._rollouts, monotonic=self._monotonic)
        return DeploymentScaler(applier, self._inventory, self._queue)

    def tell_status(self, entry: PoolEntry, status: Status) -> None:
        self._statuses.write(entry, status)

    def end(self) -> None:
        self._queue.clear()
