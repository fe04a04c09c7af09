"""KEDA and the HPA that it creates, as documented: the algorithm that a JobWorkerPool replaces.

KEDA queries the database every pollingInterval. It scales from 0 to 1 as soon as there is a row, and back to 0 after
cooldownPeriod without one. From 1 up, the HPA decides every 15 s: rows / target, no change within a tolerance of 10 %,
down to the highest recommendation of the stabilization window, and up to 4 pods or twice as many per sync; if any
`behavior` is set, by 4 pods or to twice as many. Measured with KEDA 2.20 on Kubernetes 1.37: 1, 4, 8, 16 or 1, 5, 10.
The ReplicaSet first removes pods that are not ready and then the youngest, whether they run a job or not.
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
    """The defaults are those of KEDA and HPA; the target has none."""

    target: float  # pending and processing rows per worker (AverageValue)
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
    """A scaler with KEDA's polls and the HPA's syncs, each at its own times, within the replicas of `policy`."""

    def __init__(self, settings: KedaSettings, policy: JobWorkerPoolSpec, name: str | None = None) -> None:
        self.name = name or settings.name
        self._settings = settings
        self._min, self._max = policy.min_replicas, policy.max_replicas
        self._desired = policy.min_replicas
        self._active_at: float | None = None
        self._poll_at = 0.0
        self._sync_at = HPA_SYNC_SECONDS / 2  # relative to KEDA's polls: neither the best phase nor the worst
        self._recommendations: deque[tuple[float, int]] = deque()

    def replicas(self, cluster: Cluster, *, readable: bool) -> int:
        now = cluster.now
        if now >= self._sync_at:
            self._sync_at = now + HPA_SYNC_SECONDS
            if readable and self._desired > 0:
                self._desired = self._synced(cluster)
        if now >= self._poll_at:
            self._poll_at = now + self._settings.polling_seconds
            if readable:
                self._poll(cluster)
        cluster.reading()  # KEDA needs no reading, but only a reading drops the keys without jobs
        return self._desired

    def removal_order(self, worker: Worker) -> tuple[float, ...]:
        return (-worker.ready_at,)

    def skip_idle(self, cluster: Cluster) -> float | None:
        """The polls keep their times during skipped time: the next job waits for the next poll."""
        if not cluster.is_empty or self._recommendations or not self._desired == self._min == len(cluster.workers):
            return None
        if cluster.next_arrival_at is not None:
            self._poll_at = _next_at(self._poll_at, self._settings.polling_seconds, cluster.next_arrival_at)
            self._sync_at = _next_at(self._sync_at, HPA_SYNC_SECONDS, cluster.next_arrival_at)
        return cluster.next_arrival_at

    def _poll(self, cluster: Cluster) -> None:
        if cluster.open_jobs:
            self._active_at = cluster.now
            self._desired = max(self._desired, 1)
        elif self._desired and self._min == 0 and self._is_cool(cluster.now):
            self._desired = 0
            self._recommendations.clear()

    def _is_cool(self, now: float) -> bool:
        return self._active_at is None or now - self._active_at >= self._settings.cooldown_seconds

    def _synced(self, cluster: Cluster) -> int:
        """The desired replicas after one sync of the HPA."""
        now, least = cluster.now, max(1, self._min)
        ratio = cluster.open_jobs / (self._settings.target * self._desired)
        needed = ceil(cluster.open_jobs / self._settings.target)
        recommended = self._desired if abs(ratio - 1.0) <= HPA_TOLERANCE else needed
        recommended = max(least, min(recommended, self._max))
        self._recommendations.append((now, recommended))
        while now - self._recommendations[0][0] > self._settings.stabilization_seconds:
            self._recommendations.popleft()
        if recommended < self._desired:
            return min(self._desired, max(past for _, past in self._recommendations))
        return min(recommended, max(self._step_limit(), 2 * self._desired))

    def _step_limit(self) -> int:
        has_behavior = self._settings.stabilization_seconds != HPA_STABILIZATION_SECONDS
        return self._desired + HPA_STEP_PODS if has_behavior else HPA_STEP_PODS


def _next_at(at: float, every_seconds: float, moment: float) -> float:
    """The first of these times that is not before the moment. Times 10, 40, 70; moment 50: 70."""
    return at + every_seconds * max(0, ceil((moment - at) / every_seconds))
