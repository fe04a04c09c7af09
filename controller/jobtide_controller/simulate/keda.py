"""KEDA with the HPA that it makes, as both are documented: the law that a JobWorkerPool replaces.

KEDA asks the database each pollingInterval and takes a pool from 0 to 1 as soon as there is a row, and back to 0 when
there was none for cooldownPeriod. From 1 up the HPA decides each 15 s: rows / target, not at all within a tolerance
of 10 %, down to the highest wish of the stabilisation window, and up to 4 pods or twice as many a sync; where any
`behavior` is given, by 4 pods or to twice as many. KEDA 2.20 on Kubernetes 1.37 was seen to do so: 1, 4, 8, 16 or
1, 5, 10. The ReplicaSet removes pods that are not ready first and then the youngest, whether they run a job or not.
https://keda.sh/docs/latest/reference/scaledobject-spec/
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.arithmetic import ceil
from jobtide_controller.simulate.cluster import Cluster
from jobtide_controller.simulate.state import Worker

HPA_SYNC_SECONDS = 15.0
HPA_TOLERANCE = 0.1
HPA_STEP_PODS = 4
HPA_STABILIZATION_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class KedaSettings:
    """Defaults are KEDA's and HPA's own; the target has none."""

    target: float  # rows, pending and processing, for each worker (AverageValue)
    polling_seconds: float = 30.0
    cooldown_seconds: float = 300.0
    stabilization_seconds: float = HPA_STABILIZATION_SECONDS

    @property
    def name(self) -> str:
        timing = f"poll {self.polling_seconds:g}, stab {self.stabilization_seconds:g}"
        return f"KEDA, target {self.target:g}, " + ("defaults" if self.is_default else timing)

    @property
    def is_default(self) -> bool:
        return self == KedaSettings(self.target)


class Keda:
    def __init__(self, settings: KedaSettings, policy: JobWorkerPoolSpec, name: str | None = None) -> None:
        self.name = name or settings.name
        self._settings = settings
        self._min, self._max = policy.min_replicas, policy.max_replicas
        self._want = policy.min_replicas
        self._active_at: float | None = None
        self._poll_at = 0.0
        self._sync_at = HPA_SYNC_SECONDS / 2  # of all phases to KEDA's polls, neither the best nor the worst
        self._wishes: deque[tuple[float, int]] = deque()

    def replicas(self, cluster: Cluster, *, readable: bool) -> int:
        now = cluster.now
        if now >= self._sync_at:
            self._sync_at = now + HPA_SYNC_SECONDS
            if readable and self._want > 0:
                self._want = self._synced(cluster)
        if now >= self._poll_at:
            self._poll_at = now + self._settings.polling_seconds
            if readable:
                self._poll(cluster)
        cluster.reading()  # nobody else reads: what is done with is forgotten
        return self._want

    def order(self, worker: Worker) -> tuple[float, ...]:
        return (-worker.ready_at,)

    def rest(self, cluster: Cluster) -> bool:
        """Its polls go on at their own times while nobody looks: a job that comes waits for the next one."""
        if not cluster.is_empty or self._wishes or not self._want == self._min == len(cluster.workers):
            return False
        if cluster.next_arrival_at is not None:
            self._poll_at = _next_turn(self._poll_at, self._settings.polling_seconds, cluster.next_arrival_at)
            self._sync_at = _next_turn(self._sync_at, HPA_SYNC_SECONDS, cluster.next_arrival_at)
        return True

    def _poll(self, cluster: Cluster) -> None:
        if cluster.open_jobs:
            self._active_at = cluster.now
            self._want = max(self._want, 1)
        elif self._want and self._min == 0 and self._is_cool(cluster.now):
            self._want = 0
            self._wishes.clear()

    def _is_cool(self, now: float) -> bool:
        return self._active_at is None or now - self._active_at >= self._settings.cooldown_seconds

    def _synced(self, cluster: Cluster) -> int:
        """One round of the HPA."""
        now, least = cluster.now, max(1, self._min)
        ratio = cluster.open_jobs / (self._settings.target * self._want)
        wish = self._want if abs(ratio - 1.0) <= HPA_TOLERANCE else ceil(cluster.open_jobs / self._settings.target)
        wish = max(least, min(wish, self._max))
        self._wishes.append((now, wish))
        while now - self._wishes[0][0] > self._settings.stabilization_seconds:
            self._wishes.popleft()
        if wish < self._want:
            return min(self._want, max(past for _, past in self._wishes))
        return min(wish, max(self._step_limit(), 2 * self._want))

    def _step_limit(self) -> int:
        has_behavior = self._settings.stabilization_seconds != HPA_STABILIZATION_SECONDS
        return self._want + HPA_STEP_PODS if has_behavior else HPA_STEP_PODS


def _next_turn(turn_at: float, every_seconds: float, moment: float) -> float:
    """The first turn that is not before the moment. Turns at 10, 40, 70; moment 50: 70."""
    return turn_at + every_seconds * max(0, ceil((moment - turn_at) / every_seconds))
