"""Makes a pool's Deployment what it should be, one request at a time, and only where it is not so already.

Two managers own its fields (server-side apply): `jobtide-template` everything but the number of replicas,
`jobtide-scale` that number alone. So a new template never resets the number, a new number never touches the template,
and what others add stays. Each pass looks at the Deployment as it is now:

| the Deployment | next request |
|---|---|
| is not there | all of it as jobtide-scale, without force: a Deployment that is not ours is not taken over |
| is another's | none: Conflict |
| has none of our template, or the user changed the pool | template, as jobtide-template |
| jobtide-scale owns more than the number, or the number is wrong | deletion costs of the pods that go; the number |
| has a template that we render differently by now | template, when it is its turn (rollouts.py) |
| has been changed by somebody else | template, twice a minute at most |
| is as it should be | none |

Each request names the resourceVersion of the Deployment that it was decided from: one that comes late, or meets
somebody else's change, is refused, and the next look is at the Deployment as the API server has it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.scale_down import plan
from jobtide_controller.kube.api.client import DEPLOYMENTS, PODS, ApiError, Json
from jobtide_controller.kube.inventory.parse import (
    ASKED_HASH,
    DELETION_COST,
    SCALE_MANAGER,
    TEMPLATE_HASH,
    TEMPLATE_MANAGER,
    Deployment,
    fingerprint,
    owner_uid,
    owner_words,
    uid_of,
)
from jobtide_controller.kube.inventory.pools import PoolEntry
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.write.rollouts import Rollouts
from jobtide_controller.kube.write.work_queue import GoneError, NotLeadingError
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.render.deployment import (
    RENDERED,
    deployment_first_apply,
    deployment_name,
    deployment_template_apply,
)

Step = Literal["create", "template", "replicas"]

NOT_FOUND = 404
CONFLICT = 409
# Create, template, replicas, and one more of each if somebody interferes meanwhile.
STEPS_AT_MOST = 6
# A look at the Deployment costs less than the pause after a failure; whoever changes it all the time gets that pause.
LOOKS_AT_MOST = 2
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
        self._rollouts = Rollouts(self._wake)

    def is_due(self, entry: PoolEntry, replicas: int) -> bool:
        """Whether there is anything to write for this pool."""
        return self._next_step(entry, replicas) is not None

    def is_quiet(self, uid: str) -> bool:
        """Not while it is too early to put right what somebody else has changed."""
        deployment, applied = self._inventory.deployment(uid), self._applied.get(uid)
        return deployment is None or applied is None or applied.fingerprint == deployment.fingerprint

    async def converge(self, uid: str, replicas: int, fleet: Callable[[], Fleet]) -> None:
        """Bring the Deployment to `replicas` and to the pool's template. Raises ApiError, ConflictError.

        `fleet` is asked when pods are chosen to go, which may be a while after the decision.
        """
        looks = 0
        for _ in range(STEPS_AT_MOST):
            entry = self._inventory.pools.get(uid)
            if entry is None:
                raise GoneError
            step = self._next_step(entry, replicas)
            if step is None or (step == "replicas" and self._would_cut_busy(entry, replicas, fleet())):
                return
            try:
                await self._take_step(step, entry, replicas, fleet)
            except ApiError as error:
                if error.code != CONFLICT or isinstance(error, ConflictError) or looks == LOOKS_AT_MOST:
                    raise
                looks += 1
                await self._look(entry)

    def forget(self, uid: str) -> None:
        self._applied.pop(uid, None)
        self._rollouts.end(uid)

    def _next_step(self, entry: PoolEntry, replicas: int) -> Step | None:
        deployment = self._inventory.deployment(entry.uid)
        if deployment is None:
            return "create"
        is_old = deployment.template_hash != template_hash(entry)
        if not is_old:  # else what it says of itself is of the template before
            self._rollouts.look(entry.uid, deployment.rollout)
        if not deployment.template_applied or (is_old and not _is_our_change(entry, deployment)):
            return "template"
        if not deployment.only_scale_owned or deployment.replicas != replicas:
            return "replicas"
        if is_old:
            return "template" if self._rollouts.may_begin(entry.uid) else None
        return "template" if self._is_changed_by_others(entry.uid, deployment) else None

    def _would_cut_busy(self, entry: PoolEntry, replicas: int, fleet: Fleet) -> bool:
        """What was idle when it was decided may have work by now; the next decision knows. The user's number stands."""
        deployment, spec = self._inventory.deployment(entry.uid), entry.pool.spec
        is_users = spec.replicas is not None or spec.paused
        return deployment is not None and not is_users and replicas < min(deployment.replicas, fleet.busy)

    def _is_changed_by_others(self, uid: str, deployment: Deployment) -> bool:
        applied = self._applied.setdefault(uid, _Repair(deployment.fingerprint, self._monotonic()))
        if applied.fingerprint == deployment.fingerprint:
            return False
        return self._monotonic() - applied.at >= REPAIR_SECONDS

    def _wake(self, uid: str) -> None:
        entry = self._inventory.pools.get(uid)
        if entry is not None:
            self._inventory.changes.mark(entry.database, uid)

    async def _look(self, entry: PoolEntry) -> None:
        """Take the Deployment as it is, whatever the watch has told so far."""
        existing = await self._get(_path(entry))
        known = self._inventory.deployment(entry.uid)
        if existing is not None:
            self._inventory.upsert_deployment(existing)
        if known is not None and (existing is None or uid_of(existing) != known.uid):
            self._inventory.forget_deployment({"metadata": {"uid": known.uid}})

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
            body = _with_hash(deployment_first_apply(entry.pool, replicas), entry)
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
        known = self._inventory.deployment(entry.uid)
        if known is None:
            return
        manifest = _with_hash(deployment_template_apply(entry.pool), entry)
        # Just made, it is written to by its own controller too: that is no reason to look again.
        precondition = _decided_from(known) if known.template_applied else {"uid": known.uid}
        body = {**manifest, "metadata": {**manifest["metadata"], **precondition}}
        if known.template_hash != template_hash(entry) and _is_our_change(entry, known):
            self._rollouts.begin(entry.uid)
        try:
            answer = await self._writer.apply("template", _path(entry), body, manager=TEMPLATE_MANAGER)
        except (ApiError, NotLeadingError):
            self._rollouts.end(entry.uid)
            raise
        self._inventory.upsert_deployment(answer)
        deployment = self._inventory.deployment(entry.uid)
        if deployment is not None:
            self._applied[entry.uid] = _Repair(deployment.fingerprint, self._monotonic())

    async def _replicas(self, entry: PoolEntry, replicas: int) -> None:
        known = self._inventory.deployment(entry.uid)
        if known is None:
            return
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": known.ref.name, "namespace": known.ref.namespace, **_decided_from(known)},
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
        entry.template_hash = fingerprint(deployment_template_apply(entry.pool))
    return entry.template_hash


def asked_hash(entry: PoolEntry) -> str:
    """Of what the user wrote, without defaults: those may change from release to release."""
    return fingerprint(entry.pool.spec.model_dump(mode="json", exclude_defaults=True, include=set(RENDERED)))


def _is_our_change(entry: PoolEntry, deployment: Deployment) -> bool:
    """Whether a new template comes from what we make of the pool, not from its user."""
    return deployment.asked_hash == asked_hash(entry)


def _with_hash(manifest: Json, entry: PoolEntry) -> Json:
    metadata = manifest["metadata"]
    hashes = {TEMPLATE_HASH: template_hash(entry), ASKED_HASH: asked_hash(entry)}
    return {**manifest, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **hashes}}}


def _decided_from(deployment: Deployment) -> Json:
    """With these, one that was deleted meanwhile is not made anew from a part of it."""
    return {"uid": deployment.uid, "resourceVersion": str(deployment.version)}


def _path(entry: PoolEntry) -> str:
    return DEPLOYMENTS.path(entry.ref.namespace, deployment_name(entry.pool))
