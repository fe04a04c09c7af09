"""Kubernetes objects as the few values that the pipeline needs; everything else is dropped."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.crd import UNREPORTED
from jobtide_controller.api.v1alpha1 import GROUP, KIND
from jobtide_controller.decide.fleet import Pod, Rollout
from jobtide_controller.kube.inventory.pod_trouble import WORKER_CONTAINER, problem_of, seconds_of
from jobtide_controller.loop.ports import GoneWorker
from jobtide_controller.render.container import CAPS
from jobtide_controller.render.deployment import POOL_LABEL, deployment_name_of

Json = Mapping[str, Any]

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
TEMPLATE_HASH = "jobtide.dev/template-hash"
ASKED_HASH = "jobtide.dev/asked-hash"
TEMPLATE_MANAGER = "jobtide-template"
SCALE_MANAGER = "jobtide-scale"

_LOST_NODE_REASONS = {"Evicted", "NodeShutdown", "Terminated", "NodeLost", "NodeAffinity", "Preempting", "Shutdown"}
_REPLICAS = "f:spec.f:replicas"
_COST = re.compile(r"-?[0-9]{1,10}")  # 32 bits


class Owner(NamedTuple):
    """The pool that an ownerReference names; another object of the same name has another UID."""

    ref: PoolRef
    uid: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """One pool's Deployment, and who owns which of its fields."""

    uid: str
    ref: PoolRef  # its own namespace and name
    owner: Owner  # the pool that controls it
    version: int
    replicas: int
    template_hash: str | None  # of what we applied last
    asked_hash: str | None  # of the pool's fields then, without defaults
    template_applied: bool  # the template manager has taken its fields
    scale_owns_template: bool  # the scale manager still owns what it created besides the replicas
    scale_owns_replicas: bool
    fingerprint: str  # of the spec without replicas, to notice changes by other clients
    rollout: Rollout
    caps: tuple[tuple[str, str], ...] = ()  # the limits of tenants in its template, by variable

    def scaled(self, version: int, replicas: int) -> Deployment:
        """As our own write of the number left it, which the Deployment's controller has not seen yet."""
        rollout = self.rollout
        if replicas != self.replicas:
            rollout = replace(rollout, complete=False, deadline_exceeded=False)
        return replace(self, version=version, replicas=replicas, scale_owns_replicas=True, rollout=rollout)


def version_of(raw: Json) -> int:
    """The resourceVersion as a number: those of one kind are ordered (KEP-5504)."""
    return int(raw["metadata"].get("resourceVersion") or 0)


def ref_of(raw: Json) -> PoolRef:
    """Returns the object's own namespace and name; the namespace is empty if the object has none."""
    return PoolRef(raw["metadata"].get("namespace", ""), raw["metadata"]["name"])


def uid_of(raw: Json) -> str:
    """Returns metadata.uid, which no later object of the same name has."""
    uid: str = raw["metadata"]["uid"]
    return uid


def reported_status_of(raw: Json) -> Json | None:
    """The status of a pool; None for the one that the API server fills in until a controller has reported."""
    status: Json | None = raw.get("status")
    return None if status == UNREPORTED else status


def owner_of(raw: Json) -> Owner | None:
    """The pool that controls this Deployment, by ownerReference.

    A user may write any UID into a reference. So its owner is in its own namespace, and it has the name that this
    owner's Deployment has: no object elsewhere stands for a pool's own.
    """
    namespace, name = ref_of(raw)
    for owner in raw["metadata"].get("ownerReferences") or ():
        is_pool = owner.get("kind") == KIND and owner.get("apiVersion", "").partition("/")[0] == GROUP
        if is_pool and owner.get("controller") and deployment_name_of(owner["name"]) == name:
            return Owner(PoolRef(namespace, owner["name"]), owner["uid"])
    return None


def owner_words(raw: Json) -> str:
    """The owner of this object, in words for a message."""
    for owner in raw["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return f"controlled by {owner.get('kind')} {owner.get('name')}"
    managers = {entry.get("manager") for entry in raw["metadata"].get("managedFields") or ()} - {None}
    return f"made by {', '.join(sorted(managers))}" if managers else "made by another client"


def pool_of_pod(raw: Json) -> PoolRef | None:
    """Returns the pool in the pod's label; None if it has no such label. The pool may have been deleted."""
    name = (raw["metadata"].get("labels") or {}).get(POOL_LABEL)
    return PoolRef(raw["metadata"].get("namespace", ""), name) if name else None


def deployment_of(raw: Json) -> Deployment | None:
    """Returns the Deployment; None for one that no pool controls."""
    owner = owner_of(raw)
    if owner is None:
        return None
    spec, status = raw["spec"], raw.get("status") or {}
    annotations = raw["metadata"].get("annotations") or {}
    template_owned = any(True for _ in _owned(raw, TEMPLATE_MANAGER))
    scale_owned = {field for fields in _owned(raw, SCALE_MANAGER) for field in fields}
    return Deployment(
        uid=uid_of(raw),
        ref=ref_of(raw),
        owner=owner,
        version=version_of(raw),
        replicas=spec.get("replicas", 1),
        template_hash=annotations.get(TEMPLATE_HASH),
        asked_hash=annotations.get(ASKED_HASH),
        template_applied=template_owned,
        scale_owns_template=not scale_owned <= {_REPLICAS},
        scale_owns_replicas=_REPLICAS in scale_owned,
        fingerprint=fingerprint({key: value for key, value in spec.items() if key != "replicas"}),
        rollout=_rollout(raw, status),
        caps=tuple(_caps(spec)),
    )


def _caps(spec: Json) -> Iterator[tuple[str, str]]:
    for container in ((spec.get("template") or {}).get("spec") or {}).get("containers") or ():
        if container.get("name") == WORKER_CONTAINER:
            found = {entry.get("name"): entry.get("value") for entry in container.get("env") or ()}
            yield from ((name, found[name]) for name in CAPS if found.get(name))


def fingerprint(value: Any) -> str:
    """Returns 16 hexadecimal digits of SHA-256: equal for equal content, on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def pod_of(raw: Json) -> Pod:
    """Returns the pod with its times in seconds since 1970.

    A deletion cost that is not a whole number counts as 0. Raises KeyError for an object without the fields that the
    API server always sets.
    """
    metadata, status = raw["metadata"], raw.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    ready = conditions.get("Ready", {})
    is_ready = ready.get("status") == "True"
    cost = (metadata.get("annotations") or {}).get(DELETION_COST, "0")
    ends = metadata.get("deletionTimestamp")
    return Pod(
        uid=uid_of(raw),
        name=metadata["name"],
        created_at=seconds_of(metadata["creationTimestamp"]),
        ready=is_ready,
        ready_at=seconds_of(ready["lastTransitionTime"]) if is_ready and ready.get("lastTransitionTime") else None,
        terminating=ends is not None,
        gone_by=None if ends is None else seconds_of(ends),
        finished=status.get("phase") in {"Succeeded", "Failed"},
        deletion_cost=int(cost) if _COST.fullmatch(cost) else 0,
        problem=problem_of(raw),
    )


def gone_of(raw: Json) -> GoneWorker:
    """From a pod's last state, whether its loss costs its jobs an attempt: a crash does."""
    return GoneWorker(gives_back=not _crashed_by_itself(raw))


def _crashed_by_itself(raw: Json) -> bool:
    """The worker's process failed before the pod was asked to stop."""
    status = raw.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    if _is_evicted(status, conditions):
        return False
    asked_at = _asked_to_stop_at(raw["metadata"])
    for container in status.get("containerStatuses") or ():
        if container.get("name") != WORKER_CONTAINER:
            continue
        ended = (container.get("state") or {}).get("terminated") or {}
        finished_at = ended.get("finishedAt")
        if ended.get("exitCode") and finished_at:
            return asked_at is None or seconds_of(finished_at) < asked_at
        if ((container.get("state") or {}).get("waiting") or {}).get("reason") == "CrashLoopBackOff":
            return True
    return False


def _asked_to_stop_at(metadata: Json) -> float | None:
    """deletionTimestamp is the end of the grace period, not its beginning."""
    ends = metadata.get("deletionTimestamp")
    return None if ends is None else seconds_of(ends) - float(metadata.get("deletionGracePeriodSeconds") or 0)


def _is_evicted(status: Json, conditions: Mapping[str, Json]) -> bool:
    disrupted = conditions.get("DisruptionTarget", {}).get("status") == "True"
    return disrupted or status.get("reason") in _LOST_NODE_REASONS


def _rollout(raw: Json, status: Json) -> Rollout:
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    replicas = status.get("replicas", 0)
    failure = conditions.get("ReplicaFailure", {})
    is_observed = status.get("observedGeneration", 0) >= raw["metadata"].get("generation", 0)
    return Rollout(
        complete=is_observed and status.get("updatedReplicas", 0) == replicas,
        deadline_exceeded=is_observed and conditions.get("Progressing", {}).get("status") == "False",
        paused=bool(raw["spec"].get("paused")),
        replica_failure=failure.get("message") if failure.get("status") == "True" else None,
    )


def _owned(raw: Json, manager: str) -> Iterator[list[str]]:
    """The leaves below spec that a manager applied, to the second level; this separates replicas from the rest."""
    for entry in raw["metadata"].get("managedFields") or ():
        is_spec = entry.get("subresource") in {None, "", "scale"}
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and is_spec:
            fields = entry.get("fieldsV1") or {}
            yield [f"{top}.{leaf}" for top, leaves in fields.items() for leaf in leaves if leaf != "."]
