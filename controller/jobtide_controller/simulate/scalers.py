"""What a scaler is in the simulation, and Jobtide's own: the controller's decision."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random
from statistics import median
from typing import Protocol

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.fleet import Fleet, Pod
from jobtide_controller.decide.history import History
from jobtide_controller.decide.reading import Depth, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.scaling import decide
from jobtide_controller.simulate.cluster import Cluster
from jobtide_controller.simulate.state import Worker

DEPTH_CAP = 10_000  # the controller's default
UNKNOWN_START_SECONDS = 10.0
SAMPLE_SECONDS, SAMPLE_ERROR = 10.0, 0.1  # of the rows beyond the cap


class Scaler(Protocol):
    """A scaling algorithm. `replicas` is called once a tick; it may call `cluster.reading()`, which resets arrivals."""

    name: str

    def replicas(self, cluster: Cluster, *, readable: bool) -> int:
        """The desired number of workers."""

    def removal_order(self, worker: Worker) -> tuple[float, ...]:
        """Sort key of the removal order: the lowest is removed first."""

    def skip_idle(self, cluster: Cluster) -> float | None:
        """Prepares for a skip to the returned moment, the next arrival or before. None: something could change."""


class Jobtide:
    """The controller's own decision with simulated readings."""

    def __init__(self, policy: JobWorkerPoolSpec, name: str | None = None) -> None:
        self.name = name or _policy_name(policy)
        self._policy = policy
        self._history = History()
        self._replicas: int | None = None
        self._least = policy.min_replicas  # at the moment
        self._wake_at: float | None = None
        self._sampled_at = -math.inf
        self._chance = Random(0)  # noqa: S311 - repeatable on purpose

    def replicas(self, cluster: Cluster, *, readable: bool) -> int:
        # Only windows need the time of day: without them all times are small, and their sums exact.
        began_at = cluster.began_at if self._policy.schedules else 0.0
        now = began_at + cluster.now
        reading = (
            self._counted(cluster.reading())
            if readable
            else Unreadable(UnreadableReason.UNREACHABLE, "simulated outage", cluster.now)
        )
        decision = decide(self._policy, reading, self._fleet(cluster, began_at), self._history, now)
        self._history, self._replicas = decision.history, decision.replicas
        windows = decision.in_force
        self._least = self._policy.min_replicas if windows is None else windows.spec.min_replicas
        self._wake_at = None if windows is None or windows.changes_at is None else windows.changes_at - began_at
        return decision.replicas

    def removal_order(self, worker: Worker) -> tuple[float, ...]:
        """As in decide/scale_down.py: idle before busy, the youngest first."""
        return (worker.running, -worker.created_at)

    def skip_idle(self, cluster: Cluster) -> float | None:
        """Like the controller: it does not decide idle pools at every tick, and keeps their history."""
        history = self._history
        if not cluster.is_empty or history.flow or history.counts or len(history.recommendations) > 1:
            return None
        if self._replicas != self._least or len(cluster.workers) != self._replicas:
            return None
        moments = [at for at in (cluster.next_arrival_at, self._wake_at) if at is not None]
        if not moments or any(worker.ready_at > cluster.now for worker in cluster.workers):
            return None
        if history.read_at is not None:
            self._history = replace(history, read_at=max(history.read_at, min(moments) - 1.0))
        return min(moments)

    def _counted(self, reading: Reading) -> Reading:
        """With counts cut at the cap, as the controller's statement does, and now and then a sample of the rest."""
        if all(depth.due < DEPTH_CAP and depth.later < DEPTH_CAP for depth in reading.depths.values()):
            return reading
        about = 0.0
        if reading.taken_at - self._sampled_at >= SAMPLE_SECONDS:
            self._sampled_at = reading.taken_at
            about = max(0.0, self._chance.gauss(1.0, SAMPLE_ERROR))
        return replace(
            reading, depths={key: _capped(depth, int(depth.due * about)) for key, depth in reading.depths.items()}
        )

    def _fleet(self, cluster: Cluster, began_at: float) -> Fleet:
        pods = tuple(
            Pod(
                worker.uid,
                worker.uid,
                began_at + worker.created_at,
                ready=worker.ready_at <= cluster.now,
                ready_at=began_at + worker.ready_at,
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


def _capped(depth: Depth, about: int) -> Depth:
    is_capped = depth.due >= DEPTH_CAP or depth.later >= DEPTH_CAP
    return replace(
        depth,
        due=min(depth.due, DEPTH_CAP),
        later=min(depth.later, DEPTH_CAP),
        arrivals=min(depth.arrivals, DEPTH_CAP),
        capped=is_capped,
        about=about if is_capped else 0,
    )


def _policy_name(policy: JobWorkerPoolSpec) -> str:
    if policy.jobs_per_worker is not None:
        return f"jobsPerWorker {policy.jobs_per_worker}"
    return f"Jobtide, {'promises by type' if policy.promises else f'{policy.wait_seconds} s'}"
