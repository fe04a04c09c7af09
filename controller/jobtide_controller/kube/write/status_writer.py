"""Writes pools' statuses: at once where a person waits for the change, else as often as the API server likes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from jobtide_controller.api.v1alpha1 import API_VERSION, KIND
from jobtide_controller.kube.api.client import POOLS, ApiError
from jobtide_controller.kube.inventory.parse import version_of
from jobtide_controller.kube.inventory.pools import PoolEntry
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.write.work_queue import GoneError, Priority, WriteQueue, WriteRequest
from jobtide_controller.kube.write.writer import Writer

Status = Mapping[str, Any]

MANAGER = "jobtide-status"
LEAST_SECONDS = 5.0  # between two writes of one pool, where only numbers move
WRITES_PER_SECOND = 20.0  # of such writes, over all pools

NOT_FOUND = 404
_MATTERS = ("observedGeneration", "replicas", "readyReplicas", "desiredReplicas", "reason", "limitedBy")


class StatusWriter:
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
        self._written_at: dict[str, float] = {}

    def offer(self, entry: PoolEntry, status: Status) -> bool:
        """Write this status if it is time to; whether all that it says is written or on its way."""
        before = entry.status
        if before == status:
            return True
        if not (_matters(before, status) or self.is_time(entry.uid)):
            return False
        self._written_at[entry.uid] = self._monotonic()
        self._queue.submit(
            WriteRequest(entry.uid, entry.ref, "status", Priority.TELL, lambda: self._write(entry.uid, status))
        )
        return True

    def is_time(self, uid: str) -> bool:
        """Whether numbers that move all the time may be written again."""
        pause = max(LEAST_SECONDS, len(self._written_at) / WRITES_PER_SECOND)
        return self._monotonic() - self._written_at.get(uid, -pause) >= pause

    def quiet(self, uid: str) -> None:
        """This pool's numbers do not move any more; the others get its share of writes."""
        if self.is_time(uid):
            self._written_at.pop(uid, None)

    def forget(self, uid: str) -> None:
        self._written_at.pop(uid, None)

    async def _write(self, uid: str, status: Status) -> None:
        entry = self._inventory.pools.get(uid)
        if entry is None:
            raise GoneError
        if entry.status == status:
            return
        # Of this pool, as it is now: not of a new one of the name, nor over what a later leader has said.
        known = {"uid": uid, "resourceVersion": str(entry.version)}
        metadata = {"name": entry.ref.name, "namespace": entry.ref.namespace, **known}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": dict(status)}
        path = POOLS.path(entry.ref.namespace, entry.ref.name, "status")
        try:
            answer = await self._writer.apply("status", path, body, manager=MANAGER)
        except ApiError as error:
            if error.code == NOT_FOUND:
                raise GoneError from error
            raise
        entry.status = answer.get("status")
        entry.version = max(entry.version, version_of(answer))


def _matters(before: Status | None, after: Status) -> bool:
    """What somebody waits for: a condition, a number of workers."""
    if before is None:
        return True
    if any(before.get(name) != after.get(name) for name in _MATTERS):
        return True
    return _conditions(before) != _conditions(after)


def _conditions(status: Status) -> list[tuple[Any, ...]]:
    return [
        (condition.get("type"), condition.get("status"), condition.get("reason"), condition.get("observedGeneration"))
        for condition in status.get("conditions") or ()
    ]
