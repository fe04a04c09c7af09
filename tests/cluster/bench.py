"""The controller's writing half against a real API server, step by step."""

from __future__ import annotations

import json
from typing import Any

from jobtide_controller.kube.api.client import Api
from jobtide_controller.kube.inventory.relist import Relister
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.write.apply import Applier
from jobtide_controller.kube.write.rollouts import Rollouts
from jobtide_controller.kube.write.status_writer import StatusWriter
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.work_queue import WriteQueue
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.telemetry.events import Wrote


class Bench:
    """The controller's writing half in one namespace; `see` reads the cluster as the watch would."""

    def __init__(self, api: Api, kubectl: Any) -> None:
        self.kubectl = kubectl
        self.events: list[object] = []
        self.seconds = 0.0
        self.inventory = Inventory(self.events.append)
        window = Window()
        self.writer = Writer(api, self.events.append, leading=lambda: True, window=window)
        self.queue = WriteQueue(self.events.append, window)
        self.statuses = StatusWriter(self.inventory, self.writer, self.queue)
        self.relister = Relister(api, self.inventory, (kubectl.namespace,), self.events.append)
        self.busy_uids: set[str] = set()
        self._rollouts = Rollouts(self.inventory.wake)
        self._appliers: dict[str, Applier] = {}

    def applier_of(self, entry: Any) -> Applier:
        made = Applier(entry.uid, self.inventory, self.writer, self._rollouts, monotonic=lambda: self.seconds)
        return self._appliers.setdefault(entry.uid, made)

    @property
    def applier(self) -> Applier:
        """That of the only pool."""
        return self.applier_of(self.entry)

    async def see(self) -> None:
        assert await self.relister.run_once()

    async def make(self, manifest: dict[str, Any], replicas: int) -> dict[str, Any]:
        """Apply the pool as its user does, then converge as the controller does."""
        done = self.kubectl.apply(manifest)
        assert done.returncode == 0, done.stderr
        await self.see()
        await self.converge(replicas)
        return self.deployment()

    async def converge(self, replicas: int) -> list[str]:
        """Applies `replicas`; the kinds of the writes that this took."""
        before = len(self.events)
        await self.converge_pool(self.entry, replicas)
        return [event.what for event in self.events[before:] if isinstance(event, Wrote)]

    async def converge_pool(self, entry: Any, replicas: int) -> None:
        fleet = self.inventory.fleet(entry.uid, self.busy_uids)
        await self.applier_of(entry).converge(replicas, lambda: fleet)

    @property
    def entry(self) -> Any:
        (entry,) = self.inventory.pools
        return entry

    def deployment(self) -> dict[str, Any]:
        output = self.kubectl("get", "deployment", "thumbs-worker", "-o", "json", "--show-managed-fields")
        found: dict[str, Any] = json.loads(output)
        return found


def owners(deployment: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Fields of the spec by the manager that applied them."""
    entries = deployment["metadata"]["managedFields"]
    return {e["manager"]: e["fieldsV1"].get("f:spec", {}) for e in entries if e["operation"] == "Apply"}


def env_of(deployment: dict[str, Any]) -> dict[str, str]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", "") for entry in container["env"]}
