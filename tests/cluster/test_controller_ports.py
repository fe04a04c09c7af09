"""The loop's ports over a real API server: Pools as lists show them, Scaler and Writes through the write queue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobtide_controller.kube.write.scaler import KubeWrites
from tests.cluster.bench import Bench
from tests.contracts.loop_ports import ConflictsContract, PoolsContract, WritesContract


class ApiServer:
    """A user with kubectl; the inventory is what a full list shows."""

    def __init__(self, bench: Bench, manifest: Any) -> None:
        self._bench = bench
        self._manifest = manifest
        self.pools = bench.inventory.pools
        self.writes = KubeWrites(bench.inventory, bench.writer, bench.queue)

    async def put(self, name: str, **spec: Any) -> str:
        done = self._bench.kubectl.apply(self._manifest(name, **spec))
        assert done.returncode == 0, done.stderr
        await self._bench.see()
        return str(self._bench.kubectl.get("jobworkerpool", name)["metadata"]["uid"])

    async def delete(self, name: str) -> None:
        self._bench.kubectl("delete", "jobworkerpool", name)
        await self._bench.see()

    async def pool(self, name: str, **spec: Any) -> str:
        return await self.put(name, **spec)

    async def written(self) -> None:
        await self._bench.queue.idle()
        await self._bench.see()

    async def replicas(self, name: str) -> int | None:
        found = self._bench.kubectl.run("get", "deployment", f"{name}-worker", "-o", "json")
        return None if found.returncode else int(json.loads(found.stdout)["spec"]["replicas"])

    async def status(self, name: str) -> dict[str, Any] | None:
        status: dict[str, Any] | None = self._bench.kubectl.get("jobworkerpool", name).get("status")
        return status

    async def block(self, name: str) -> None:
        container = {"name": "web", "image": "acme/web:1"}
        labels = {"app": name}
        foreign = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"{name}-worker"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }
        done = self._bench.kubectl.apply(foreign)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def world(bench: Bench, pool: Any) -> ApiServer:
    return ApiServer(bench, pool)


@pytest.fixture
def entry_of(bench: Bench) -> Any:
    return bench.inventory.pools.get


class TestPools(PoolsContract): ...


class TestWrites(WritesContract): ...


class TestConflicts(ConflictsContract): ...
