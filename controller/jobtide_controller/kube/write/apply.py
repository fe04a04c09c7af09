"""Makes a pool's Deployment what it should be, one request at a time, and only where it differs.

Two managers own its fields (server-side apply): `jobtide-template` everything but the number of replicas,
`jobtide-scale` only that number. So a new template never resets the number, a new number never changes the template,
and what other clients add stays. Each pass looks at the Deployment as it is now:

| the Deployment | next request |
|---|---|
| does not exist | all of it as jobtide-scale, without force: a Deployment that is not ours is not taken over |
| has another owner | none: Conflict |
| has none of our template, or the user changed the pool | template, as jobtide-template |
| jobtide-scale still owns the template that it created | template and number change owners, as jobtide-scale |
| jobtide-scale does not own the number, or the number is wrong | deletion costs of the pods to stop; the number |
| has a template that this release renders differently | template, when there is a place to roll (rollouts.py) |
| was changed by another client | template, twice a minute at most |
| is as it should be | none |

Each request names the resourceVersion of the Deployment that it was decided from: one that is late, or meets another
client's change, is refused, and the next pass starts from the Deployment as the API server has it.

The number goes to the `scale` subresource: of the same apply to the Deployment the API server takes twice the CPU time
(docs/benchmarks.md), and answers with twenty times as many bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
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
    owner_of,
    owner_words,
    uid_of,
)
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.write.rollouts import Rollouts
from jobtide_controller.kube.write.work_queue import GoneError, NotLeadingError
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.render.deployment import (
    RENDERED,
    deployment_first_apply,
    deployment_name,
    deployment_template_apply,
)

Step = Literal["create", "template", "replicas"]

# Create, template, replicas, and one more of each if another client interferes.
MAX_STEPS = 6
# A GET of the Deployment costs less than the pause after a failure; a client that changes it all the time gets that.
MAX_REFRESHES = 2
# A client that keeps changing our fields is overruled twice a minute, not in a loop.
REPAIR_SECONDS = 30.0


class ConflictError(ApiError):
    """A Deployment of our name belongs to another owner."""

    is_race = False


@dataclass(frozen=True, slots=True)
class _Repair:
    fingerprint: str
    at: float


class Applier:
    """Applies one pool's Deployment, in one term of leadership."""

    __slots__ = ("_applied", "_inventory", "_monotonic", "_repair_at", "_rollouts", "_writer", "uid")

    def __init__(
        self,
        uid: str,
        inventory: Inventory,
        writer: Writer,
        rollouts: Rollouts,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.uid = uid
        self._inventory = inventory
        self._writer = writer
        self._rollouts = rollouts
        self._monotonic = monotonic
        self._applied: _Repair | None = None  # the spec as our last template apply left it
        self._repair_at: float | None = None  # another client changed it, and it is too early to repair that

    def is_due(self, replicas: int) -> bool:
        """Whether there is anything to write for this pool."""
        entry = self._inventory.pools.get(self.uid)
        return entry is not None and entry.refusal is None and self._next_step(entry, replicas) is not None

    def due_in_seconds(self) -> float | None:
        """When nothing was due: after how many seconds a repair will be; None: there is nothing to repair."""
        return None if self._repair_at is None else max(0.0, self._repair_at - self._monotonic())

    def close(self) -> None:
        """The pool is forgotten: another one may roll in its place."""
        self._rollouts.end(self.uid)

    async def converge(self, replicas: int, fleet: Callable[[], Fleet]) -> None:
        """Brings the Deployment to `replicas` and to the pool's template.

        Raises ApiError, ConflictError, GoneError, NotLeadingError. `fleet` is called when pods are chosen to stop,
        which may be some time after the decision.
        """
        refreshes = 0
        for _ in range(MAX_STEPS):
            entry = self._inventory.pools.get(self.uid)
            if entry is None or entry.refusal is not None:  # a refused pool's workers stay as they are
                raise GoneError
            step = self._next_step(entry, replicas)
            if step is None or (step == "replicas" and self._would_cut_busy(entry, replicas, fleet())):
                return
            try:
                await self._take_step(step, entry, replicas, fleet)
            except ApiError as error:
                is_late = error.conflict or (error.not_found and step == "replicas")
                if not is_late or isinstance(error, ConflictError) or refreshes == MAX_REFRESHES:
                    raise
                refreshes += 1
                await self._refresh(entry)

    def _next_step(self, entry: PoolEntry, replicas: int) -> Step | None:
        self._repair_at = None
        deployment = self._inventory.deployment(entry.uid)
        if deployment is None:
            return "create"
        is_old = deployment.template_hash != template_hash(entry, self._caps(entry))
        if not is_old:  # else what it says of itself is of the template before
            self._rollouts.observe(entry.uid, deployment.rollout)
        if not deployment.template_applied or (is_old and not self._is_our_change(entry, deployment)):
            return "template"
        if deployment.scale_owns_template or not deployment.scale_owns_replicas or deployment.replicas != replicas:
            return "replicas"
        if is_old:
            return "template" if self._rollouts.may_begin(entry.uid) else None
        return "template" if self._is_changed_by_others(deployment) else None

    def _would_cut_busy(self, entry: PoolEntry, replicas: int, fleet: Fleet) -> bool:
        """A pod that was idle at the decision may have a job now; the next decision knows. The user's number stands."""
        deployment, spec = self._inventory.deployment(entry.uid), entry.pool.spec
        is_users = spec.replicas is not None or spec.paused
        return deployment is not None and not is_users and replicas < min(deployment.replicas, fleet.busy)

    def _is_changed_by_others(self, deployment: Deployment) -> bool:
        """Whether another client changed our template, long enough after our last apply to repair it now."""
        if self._applied is None:
            self._applied = _Repair(deployment.fingerprint, self._monotonic())
        if self._applied.fingerprint == deployment.fingerprint:
            return False
        repair_at = self._applied.at + REPAIR_SECONDS
        if self._monotonic() >= repair_at:
            return True
        self._repair_at = repair_at
        return False

    async def _refresh(self, entry: PoolEntry) -> None:
        """Reads the Deployment as it is: the watch may lag behind."""
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
            body = self._with_hash(deployment_first_apply(entry.pool, replicas), entry)
            answer = await self._writer.apply("create", path, body, manager=SCALE_MANAGER, force=False)
            self._inventory.upsert_deployment(answer)
        elif owner_of(existing) == (entry.ref, entry.uid):
            self._inventory.upsert_deployment(existing)  # its event is still on the way
        else:
            raise ConflictError(
                HTTPStatus.CONFLICT,
                "Conflict",
                f"Deployment {existing['metadata']['name']} exists and is {owner_words(existing)}; "
                "delete it, or create the pool under another name",
            )

    async def _template(self, entry: PoolEntry) -> None:
        known = self._inventory.deployment(entry.uid)
        if known is None:
            return
        manifest = self._with_hash(deployment_template_apply(entry.pool, self._caps(entry)), entry)
        # A new Deployment is written to by its own controller too: that is no reason to read it again.
        precondition = _decided_from(known) if known.template_applied else {"uid": known.uid}
        body = {**manifest, "metadata": {**manifest["metadata"], **precondition}}
        is_old = known.template_hash != template_hash(entry, self._caps(entry))
        if is_old and self._is_our_change(entry, known):
            self._rollouts.begin(entry.uid)
        try:
            answer = await self._writer.apply("template", _path(entry), body, manager=TEMPLATE_MANAGER)
        except (ApiError, NotLeadingError):
            self._rollouts.end(entry.uid)
            raise
        self._inventory.upsert_deployment(answer)
        deployment = self._inventory.deployment(entry.uid)
        if deployment is not None:
            self._applied = _Repair(deployment.fingerprint, self._monotonic())

    async def _replicas(self, entry: PoolEntry, replicas: int) -> None:
        known = self._inventory.deployment(entry.uid)
        if known is None:
            return
        body = {
            "metadata": {"name": known.ref.name, "namespace": known.ref.namespace, **_decided_from(known)},
            "spec": {"replicas": replicas},
        }
        if known.scale_owns_template:  # only an apply to the whole Deployment gives up fields
            whole = {"apiVersion": "apps/v1", "kind": "Deployment", **body}
            answer = await self._writer.apply("replicas", _path(entry), whole, manager=SCALE_MANAGER)
            self._inventory.upsert_deployment(answer)
        else:
            scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", **body}
            answer = await self._writer.apply("replicas", _path(entry, "scale"), scale, manager=SCALE_MANAGER)
            self._inventory.note_scale(answer)

    async def _mark_idle_pods(self, entry: PoolEntry, replicas: int, fleet: Fleet) -> None:
        """Before the number drops: the idle pods become the cheapest to remove."""
        for name, cost in plan(fleet, replicas).costs.items():
            await self._mark(entry, name, cost)

    async def _mark(self, entry: PoolEntry, pod_name: str, cost: int) -> None:
        body = {"metadata": {"annotations": {DELETION_COST: str(cost)}}}
        path = PODS.path(entry.ref.namespace, pod_name)
        try:
            answer = await self._writer.merge("cost", path, body, manager=SCALE_MANAGER)
        except ApiError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
        else:
            self._inventory.upsert_pod(answer)

    def _caps(self, entry: PoolEntry) -> Mapping[str, str] | None:
        """Where limits are stored, those of the Deployment as it is: a change of limits changes no template."""
        deployment = self._inventory.deployment(entry.uid)
        is_stored = self._inventory.pools.stores_limits(entry.database)
        return dict(deployment.caps) if is_stored and deployment is not None else None

    def _asked_hash(self, entry: PoolEntry) -> str:
        return asked_hash(entry, with_limits=not self._inventory.pools.stores_limits(entry.database))

    def _is_our_change(self, entry: PoolEntry, deployment: Deployment) -> bool:
        """Whether a new template comes from what we make of the pool, not from its user."""
        return deployment.asked_hash == self._asked_hash(entry)

    def _with_hash(self, manifest: Json, entry: PoolEntry) -> Json:
        metadata = manifest["metadata"]
        hashes = {TEMPLATE_HASH: template_hash(entry, self._caps(entry)), ASKED_HASH: self._asked_hash(entry)}
        return {**manifest, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **hashes}}}

    async def _get(self, path: str) -> Json | None:
        try:
            return await self._writer.get(path)
        except ApiError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise


def template_hash(entry: PoolEntry, caps: Mapping[str, str] | None = None) -> str:
    """Of what the template manager applies; computed once a generation of the pool."""
    if entry.template_hash is None or entry.template_hash[0] != caps:
        entry.template_hash = caps, fingerprint(deployment_template_apply(entry.pool, caps))
    return entry.template_hash[1]


def asked_hash(entry: PoolEntry, *, with_limits: bool = True) -> str:
    """Of what the user wrote, without defaults: those may change from release to release."""
    fields = set(RENDERED) if with_limits else set(RENDERED) - {"tenants"}
    return fingerprint(entry.pool.spec.model_dump(mode="json", exclude_defaults=True, include=fields))


def _decided_from(deployment: Deployment) -> Json:
    """Preconditions: if the Deployment was deleted or changed since, the API server refuses this partial manifest."""
    return {"uid": deployment.uid, "resourceVersion": str(deployment.version)}


def _path(entry: PoolEntry, subresource: str | None = None) -> str:
    return DEPLOYMENTS.path(entry.ref.namespace, deployment_name(entry.pool), subresource)
