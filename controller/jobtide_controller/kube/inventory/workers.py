"""The loop's port Workers over the inventory: which pods exist, and which are gone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet

from jobtide_controller.decide.fleet import Fleet, Rollout
from jobtide_controller.decide.reading import is_pod_uid
from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.loop.ports import GoneWorker, Presence, WorkersUnlistedError


class PodWorkers:
    """`list_pod_uids` lists every pod of the watched namespaces, of any owner."""

    def __init__(self, inventory: Inventory, list_pod_uids: Callable[[], Awaitable[set[str]]]) -> None:
        self._inventory = inventory
        self._list_pod_uids = list_pod_uids

    def fleet(self, pool_uid: str, busy_uids: AbstractSet[str]) -> Fleet:
        return self._inventory.fleet(pool_uid, busy_uids)

    def rollout(self, pool_uid: str) -> Rollout:
        return self._inventory.rollout(pool_uid)

    def presence_of(self, worker_uid: str) -> GoneWorker | Presence:
        presence = self._inventory.pods.presence_of(worker_uid)
        return Presence.OUTSIDE if presence is Presence.UNKNOWN and not is_pod_uid(worker_uid) else presence

    async def list_uids(self) -> set[str]:
        try:
            return await self._list_pod_uids()
        except ApiError as error:
            raise WorkersUnlistedError(f"the pods can't be listed: {error}") from error
