"""What a scaler is in the simulation, and Jobtide's own: the controller's decision."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import Protocol

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.fleet import Fleet, Pod
from jobtide_controller.decide.history import History
from jobtide_controller.decide.reading import Depth, Key, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.scaling import decide
from jobtide_controller.simulate.cluster import Cluster
from jobtide_controller.simulate.state import Worker

DEPTH_CAP = 10_000  # the controller's default
UNKNOWN_START_SECONDS = 10.0


class Scaler(Protocol):
    """A scaling algorithm. `replicas` is called once a tick; it may call `cluster.reading()`, which resets arrivals."""

    name: str

    def replicas(self, cluster: Cluster, *, readable: bool) -> int:
        """The desired number of workers."""

    def removal_order(self, worker: Worker) -> tuple[float, ...]:
        """Sort key of the removal order: the lowest is removed first."""

    def skip_idle(self, cluster: Cluster) -> bool:
        """Prepares for a skip to the next arrival. False if something could change before it."""


class Jobtide:
    """The controller's own decision with simulated readings."""

    def __init__(self, policy: JobWorkerPoolSpec, name: str | None = None) -> None:
        self.name = name or _policy_name(policy)
        self._policy = policy
        self._history = History()
        self._replicas: int | None = None

    def replicas(self, cluster: Cluster, *, readable: bool) -> int:
        now = cluster.now
        reading = (
            _counted(cluster.reading())
            if readable
            else Unreadable(UnreadableReason.UNREACHABLE, "simulated outage", now)
        )
        decision = decide(self._policy, reading, self._fleet(cluster), self._history, now)
        self._history, self._replicas = decision.history, decision.replicas
        return decision.replicas

    def removal_order(self, worker: Worker) -> tuple[float, ...]:
        """As in decide/scale_down.py: idle before busy, the youngest first."""
        return (worker.running, -worker.created_at)

    def skip_idle(self, cluster: Cluster) -> bool:
        """Like the controller: it does not decide idle pools at every tick, and keeps their history."""
        history = self._history
        if not cluster.is_empty or history.flow or history.counts or len(history.recommendations) > 1:
            return False
        if self._replicas != self._policy.min_replicas or len(cluster.workers) != self._replicas:
            return False
        arrival_at = cluster.next_arrival_at
        if arrival_at is not None and history.read_at is not None:
            self._history = replace(history, read_at=max(history.read_at, arrival_at - 1.0))
        return all(worker.ready_at <= cluster.now for worker in cluster.workers)

    def _fleet(self, cluster: Cluster) -> Fleet:
        pods = tuple(
            Pod(
                worker.uid,
                worker.uid,
                worker.created_at,
                ready=worker.ready_at <= cluster.now,
                ready_at=worker.ready_at,
                terminating=worker.stopping,
            )
            for worker in cluster.workers
        )
        return Fleet(
            current_replicas=self._replicas,
            pods=pods,
            busy_uids=frozenset(worker.uid for worker in cluster.workers if worker.running),
            start_seconds=median(cluster.started_in) if cluster.started_in else UNKNOWN_START_SECONDS,
        )


def _counted(reading: Reading) -> Reading:
    """With counts cut at the cap, as the controller's statement does."""
    if all(depth.due < DEPTH_CAP and depth.later < DEPTH_CAP for depth in reading.depths.values()):
        return reading
    return replace(reading, depths=dict(map(_capped, reading.depths.items())))


def _capped(item: tuple[Key, Depth]) -> tuple[Key, Depth]:
    key, depth = item
    is_capped = depth.due >= DEPTH_CAP or depth.later >= DEPTH_CAP
    due, later = min(depth.due, DEPTH_CAP), min(depth.later, DEPTH_CAP)
    return key, replace(depth, due=due, later=later, capped=is_capped)


def _policy_name(policy: JobWorkerPoolSpec) -> str:
    if policy.jobs_per_worker is not None:
        return f"jobsPerWorker {policy.jobs_per_worker}"
    return f"Jobtide, {policy.wait_seconds} s"
