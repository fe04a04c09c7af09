"""Writes pools' statuses through the write queue."""

from __future__ import annotations

from http import HTTPStatus

from jobtide_controller.api.v1alpha1 import API_VERSION, KIND
from jobtide_controller.kube.api.client import POOLS, ApiError
from jobtide_controller.kube.inventory.parse import version_of
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.write.work_queue import GoneError, Priority, WriteQueue, WriteRequest
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.loop.ports import PoolEntry, Status
from jobtide_controller.render.trouble import refused_status

MANAGER = "jobtide-status"


class StatusWriter:
    """Applies a pool's status only if it differs from the one that the API server has."""

    def __init__(self, inventory: Inventory, writer: Writer, queue: WriteQueue) -> None:
        self._inventory = inventory
        self._writer = writer
        self._queue = queue

    def write(self, entry: PoolEntry, status: Status) -> None:
        """Queues this status instead of one of the pool that still waits."""
        uid = entry.uid
        self._queue.submit(WriteRequest(uid, entry.ref, "status", Priority.STATUS, lambda: self._write(uid, status)))

    async def _write(self, uid: str, status: Status) -> None:
        entry = self._inventory.pools.get(uid)
        if entry is None:
            raise GoneError
        if entry.status == status:
            return
        # Preconditions: not on a new pool of the same name, and not over the status of a later leader.
        known = {"uid": uid, "resourceVersion": str(entry.version)}
        metadata = {"name": entry.ref.name, "namespace": entry.ref.namespace, **known}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": dict(status)}
        path = POOLS.path(entry.ref.namespace, entry.ref.name, "status")
        try:
            answer = await self._writer.apply("status", path, body, manager=MANAGER)
        except ApiError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                raise GoneError from error
            if not error.is_refusal:
                raise
            # Whatever it is that can't be written, the pool's user gets to know it.
            await self._writer.apply(
                "status", path, {**body, "status": refused_status(status, error.message)}, manager=MANAGER
            )
            raise
        entry.status = answer.get("status")
        entry.version = max(entry.version, version_of(answer))
