"""The inventory as the loop's ports Pools and Workers: fed with objects as the API server sends them."""

from __future__ import annotations

import itertools

import pytest

from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.inventory.workers import PodWorkers
from tests.contracts.loop_ports import PoolsContract, WorkersContract
from tests.unit.kube.objects import Events, pod, pool

READY_AT = "2026-11-24T12:00:04Z"
DRAINED = {"phase": "Succeeded"}
CRASHED = {
    "phase": "Failed",
    "containerStatuses": [
        {"name": "worker", "state": {"terminated": {"exitCode": 137, "finishedAt": "2026-11-24T12:01:00Z"}}}
    ],
}


class Objects:
    """Users and kubelets, as events of the watch."""

    def __init__(self) -> None:
        self.inventory = Inventory(Events())
        self.pools = self.inventory.pools
        self.workers = PodWorkers(self.inventory, self.list_pod_uids)
        self._generations = itertools.count(1)
        self._numbers = itertools.count(1)
        self._pods: dict[str, tuple[str, str]] = {}

    async def put(self, name, **spec):
        self.inventory.upsert_pool(pool(name, generation=next(self._generations), **spec))
        return f"uid-{name}"

    async def delete(self, name):
        self.inventory.forget_pool(pool(name))

    async def pool(self, name):
        return await self.put(name)

    async def start(self, of, *, ready=True):
        uid = f"00000000-0000-4000-8000-{next(self._numbers):012}"
        self._pods[uid] = (of, f"{of}-{uid[-4:]}")
        self.inventory.upsert_pod(pod(self._pods[uid][1], of=of, uid=uid, ready_at=READY_AT if ready else None))
        return uid

    async def stop(self, uid, *, crashed=False):
        of, name = self._pods.pop(uid)
        self.inventory.upsert_pod(pod(name, of=of, uid=uid, **(CRASHED if crashed else DRAINED)))

    async def list_pod_uids(self):
        return set(self._pods)


@pytest.fixture
def world():
    return Objects()


class TestPools(PoolsContract): ...


class TestWorkers(WorkersContract): ...
