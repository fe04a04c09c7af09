"""Chooses the pods that a scale-down removes: idle ones, marked by their deletion cost.

The ReplicaSet removes pods that are not ready first, then those with the lowest deletion cost. So the chosen idle pods
get a negative cost before the number of replicas is lowered; a pod that runs a job never gets one. Kubernetes chooses
in the end; a pod that claims a job at that moment finishes it: on SIGTERM a worker drains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobtide_controller.decide.fleet import Fleet, Pod

FIRST_COST = -1000
"""Of the first pod to remove; each further one costs one more, and at most -1."""

NO_COST = 0


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """What to write before the number of replicas is lowered."""

    costs: Mapping[str, int]  # deletion costs by pod name: only those that change
    order: tuple[str, ...] = ()  # names of the pods to remove, first to last


def plan(fleet: Fleet, replicas: int) -> DrainPlan:
    """The pods to mark so that `replicas` remain, and the marks of earlier plans to remove."""
    present = [pod for pod in fleet.pods if not (pod.terminating or pod.finished)]
    surplus = len(present) - replicas
    if surplus <= 0:
        return DrainPlan({})
    chosen = sorted((pod for pod in present if pod.uid not in fleet.busy_uids), key=_removal_order)[:surplus]
    costs = {pod.name: NO_COST for pod in present}
    costs.update({pod.name: min(FIRST_COST + position, -1) for position, pod in enumerate(chosen)})
    changed = {pod.name: costs[pod.name] for pod in present if costs[pod.name] != pod.deletion_cost}
    return DrainPlan(changed, tuple(pod.name for pod in chosen))


def _removal_order(pod: Pod) -> tuple[bool, float, str]:
    """Pods that are not ready come first, then the youngest: the oldest is warm and proven."""
    return pod.ready, -pod.created_at, pod.name
