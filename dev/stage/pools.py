"""The pools of a namespace and their workers at one moment, as kubectl shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dev.stage.kubectl import Kubectl
from jobtide_controller.render import columns
from jobtide_controller.render.deployment import POOL_LABEL


@dataclass(frozen=True, slots=True)
class Condition:
    """The part of a pool's condition that the demo and tests compare."""

    status: str
    reason: str
    message: str
    observed_generation: int


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool: its line in `kubectl get`, its workers, and its conditions by type."""

    name: str
    shown: tuple[str, ...]  # the columns of `kubectl get`, without the age
    desired: int
    workers: int  # pods without those that are being deleted
    conditions: Mapping[str, Condition]

    def is_(self, condition: str, status: str) -> bool:
        """False also if the pool does not have this condition yet."""
        return condition in self.conditions and self.conditions[condition].status == status


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The pools of a namespace and its living workers, from one list."""

    pools: tuple[Pool, ...]
    workers: int  # pods, including those that are being deleted
    ready: int

    @property
    def shown(self) -> tuple[tuple[str, ...], ...]:
        return tuple(pool.shown for pool in self.pools)


def take_snapshot(kubectl: Kubectl, namespace: str) -> Snapshot:
    """Lists the namespace with kubectl; raises CommandError if the API server does not answer."""
    listed = kubectl.json("get", "jobworkerpools,pods", "--namespace", namespace)
    return snapshot_of(listed["items"])


def snapshot_of(items: Sequence[Mapping[str, Any]]) -> Snapshot:
    """Returns the snapshot of listed objects; pods that are finished or not workers do not count."""
    pods = [item for item in items if item["kind"] == "Pod" and POOL_LABEL in item["metadata"].get("labels", {})]
    alive = [pod for pod in pods if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    staying = Counter(pod["metadata"]["labels"][POOL_LABEL] for pod in alive if not _is_leaving(pod))
    pools = [pool_of(item, staying[item["metadata"]["name"]]) for item in items if item["kind"] == "JobWorkerPool"]
    return Snapshot(tuple(pools), workers=len(alive), ready=sum(map(is_ready, alive)))


def pool_of(item: Mapping[str, Any], workers: int) -> Pool:
    """The pool as its object shows it, with so many workers that stay."""
    status = item.get("status", {})
    return Pool(
        name=item["metadata"]["name"],
        shown=columns.cells(item, now=0)[:-1],
        desired=status.get("desiredReplicas", 0),
        workers=workers,
        conditions={condition["type"]: _condition(condition) for condition in status.get("conditions", [])},
    )


def _is_leaving(pod: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _condition(condition: Mapping[str, Any]) -> Condition:
    return Condition(
        status=condition["status"],
        reason=condition["reason"],
        message=condition.get("message", ""),
        observed_generation=condition.get("observedGeneration", 0),
    )


def is_ready(pod: Mapping[str, Any]) -> bool:
    """True if the pod has the condition Ready with the status True."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
