"""Which pods go in a scale-down: those that cost nothing, in an order that is data.

The ReplicaSet removes unready pods first, then those with the lowest deletion cost. So the chosen idle pods
get a negative cost before the number of replicas drops; a pod that runs a job never does. Kubernetes decides in
the end, and a pod that took a job in that moment finishes it: SIGTERM starts the worker's own drain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobtide_controller.decide.fleet import Fleet, Pod

FIRST_COST = -1000
"""Of the first pod to go; each further one costs one more, and stays below 0 for a fleet of any usual size."""

NO_COST = 0


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """Deletion costs to write before replicas drop, by pod name: only those that change."""

    costs: Mapping[str, int]
    order: tuple[str, ...] = ()  # the pods that are meant to go, first to last


def plan(fleet: Fleet, replicas: int) -> DrainPlan:
    """The pods to mark so that `replicas` remain, and the marks of earlier plans that no longer hold."""
    present = [pod for pod in fleet.pods if not (pod.terminating or pod.finished)]
    surplus = len(present) - replicas
    if surplus <= 0:
        return DrainPlan({})
    chosen = sorted((pod for pod in present if pod.uid not in fleet.busy_uids), key=_turn)[:surplus]
    costs = {pod.name: NO_COST for pod in present}
    costs.update({pod.name: min(FIRST_COST + turn, -1) for turn, pod in enumerate(chosen)})
    changed = {pod.name: costs[pod.name] for pod in present if costs[pod.name] != pod.deletion_cost}
    return DrainPlan(changed, tuple(pod.name for pod in chosen))


def _turn(pod: Pod) -> tuple[bool, float, str]:
    """Those that are not up yet before those that are, the youngest first: the oldest is warm and proven."""
    return pod.ready, -pod.created_at, pod.name
