"""Makes a pool's Deployment what it should be, one request at a time, and only where it is not so already.

Two managers own its fields (server-side apply): `jobtide-template` everything but the number of replicas,
`jobtide-scale` that number alone. So a new template never resets the number, a new number never touches the template,
and what others add stays. Each pass looks at the Deployment as it is now:

| the Deployment | next request |
|---|---|
| is not there | all of it as jobtide-scale, without force: a Deployment that is not ours is not taken over |
| is another's | none: Conflict |
| has no or an older template of ours, or somebody changed it | template, as jobtide-template |
| jobtide-scale owns more than the number, or the number is wrong | deletion costs of the pods that go; the number |
| is as it should be | none |
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jobtide_controller.decide import manifests
from jobtide_controller.decide.drain import plan
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.kube.client import DEPLOYMENTS, PODS, ApiError, Json
from jobtide_controller.kube.inventory import Inventory
from jobtide_controller.kube.parse import (
    DELETION_COST,
    SCALE_MANAGER,
    TEMPLATE_HASH,
    TEMPLATE_MANAGER,
    Deployment,
    fingerprint,
    owner_uid,
    owner_words,
)
from jobtide_controller.kube.pools import PoolEntry
from jobtide_controller.kube.queue import GoneError
from jobtide_controller.kube.writer import Writer

Step = Literal["create", "template", "replicas"]

NOT_FOUND = 404
CONFLICT = 409
# Create, template, replicas, and one more of each if somebody interferes meanwhile.
STEPS_AT_MOST = 6
# Somebody who keeps changing our fields is put right twice a minute, not in a loop.
REPAIR_SECONDS = 30.0


class ConflictError(ApiError):
    """A Deployment of our name belongs to somebody else."""


@dataclass(frozen=True, slots=True)
class _Repair:
    fingerprint: str
    at: float


class Applier:
    def __init__(
        self, inventory: Inventory, writer: Writer, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._inventory = inventory
        self._writer = writer
        self._monotonic = monotonic
        self._applied: dict[str, _Repair] = {}  # as our last template apply left the spec

    def is_due(self, entry: PoolEntry, replicas: int) -> bool:
        """Whether there is anything to write for this pool."""
        return self._next_step(entry, replicas) is not None

    async def converge(self, uid: str, replicas: int, fleet: Callable[[], Fleet]) -> None:
        """Bring the Deployment to `replicas` and to the pool's template. Raises ApiError, ConflictError.

        `fleet` is asked when pods are chosen to go, which may be a while after the decision.
        """
        for _ in range(STEPS_AT_MOST):
            entry = self._inventory.pools.get(uid)
            if entry is None:
                raise GoneError
            step = self._next_step(entry, replicas)
            if step is None:
                return
            await self._take_step(step, entry, replicas, fleet)

    def forget(self, uid: str) -> None:
        self._applied.pop(uid, None)

    def _next_step(self, entry: PoolEntry, replicas: int) -> Step | None:
        deployment = self._inventory.deployment(entry.uid)
        if deployment is None:
            return "create"
        if not deployment.template_applied or deployment.template_hash != template_hash(entry):
            return "template"
        if not deployment.only_scale_owned or deployment.replicas != replicas:
            return "replicas"
        return "template" if self._is_changed_by_others(entry.uid, deployment) else None

    def _is_changed_by_others(self, uid: str, deployment: Deployment) -> bool:
        applied = self._applied.setdefault(uid, _Repair(deployment.fingerprint, self._monotonic()))
        if applied.fingerprint == deployment.fingerprint:
            return False
        return self._monotonic() - applied.at >= REPAIR_SECONDS

    async def _take_step(self, step: Step, entry: PoolEntry, replicas: int, fleet: Callable[[], Fleet]) -> None:
        match step:
            case "create":
                await self._create(entry, replicas)
            case "template":
                await self._template(entry)
            case "replicas":
                deployment = self._inventory.deployment(entry.uid)
                if deployment is not None and replicas < deployment.replicas:
                    await self._mark_idle_pods(entry, replicas, fleet())
                await self._replicas(entry, replicas)

    async def _create(self, entry: PoolEntry, replicas: int) -> None:
        path = _path(entry)
        existing = await self._get(path)
        if existing is None:
            body = _with_hash(manifests.deployment_first_apply(entry.pool, replicas), entry)
            answer = await self._writer.apply("create", path, body, manager=SCALE_MANAGER, force=False)
            self._inventory.upsert_deployment(answer)
        elif owner_uid(existing) == entry.uid:
            self._inventory.upsert_deployment(existing)  # its event had not come yet
        else:
            raise ConflictError(
                CONFLICT,
                "Conflict",
                f"Deployment {existing['metadata']['name']} exists and is {owner_words(existing)}; "
                "delete or rename it, or name the pool differently",
            )

    async def _template(self, entry: PoolEntry) -> None:
        body = _with_hash(manifests.deployment_template_apply(entry.pool), entry)
        answer = await self._writer.apply("template", _path(entry), body, manager=TEMPLATE_MANAGER)
        self._inventory.upsert_deployment(answer)
        deployment = self._inventory.deployment(entry.uid)
        if deployment is not None:
            self._applied[entry.uid] = _Repair(deployment.fingerprint, self._monotonic())

    async def _replicas(self, entry: PoolEntry, replicas: int) -> None:
        deployment = self._inventory.deployment(entry.uid)
        if deployment is None:
            return
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            # With the UID a Deployment that was deleted meanwhile is not made anew without a template.
            "metadata": {"name": deployment.ref.name, "namespace": deployment.ref.namespace, "uid": deployment.uid},
            "spec": {"replicas": replicas},
        }
        answer = await self._writer.apply("replicas", _path(entry), body, manager=SCALE_MANAGER)
        self._inventory.upsert_deployment(answer)

    async def _mark_idle_pods(self, entry: PoolEntry, replicas: int, fleet: Fleet) -> None:
        """Before the number drops: the pods that do nothing are the cheapest to lose."""
        costs = plan(fleet, replicas).costs
        await asyncio.gather(*(self._mark(entry, name, cost) for name, cost in costs.items()))

    async def _mark(self, entry: PoolEntry, pod_name: str, cost: int) -> None:
        body = {"metadata": {"annotations": {DELETION_COST: str(cost)}}}
        path = PODS.path(entry.ref.namespace, pod_name)
        try:
            answer = await self._writer.merge("cost", path, body, manager=SCALE_MANAGER)
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise
        else:
            self._inventory.upsert_pod(answer)

    async def _get(self, path: str) -> Json | None:
        try:
            return await self._writer.get(path)
        except ApiError as error:
            if error.code == NOT_FOUND:
                return None
            raise


def template_hash(entry: PoolEntry) -> str:
    """Of what the template manager applies; computed once a generation of the pool."""
    if entry.template_hash is None:
        entry.template_hash = fingerprint(manifests.deployment_template_apply(entry.pool))
    return entry.template_hash


def _with_hash(manifest: Json, entry: PoolEntry) -> Json:
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), TEMPLATE_HASH: template_hash(entry)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def _path(entry: PoolEntry) -> str:
    return DEPLOYMENTS.path(entry.ref.namespace, manifests.deployment_name(entry.pool))
