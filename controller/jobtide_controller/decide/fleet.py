"""What Kubernetes says about one pool's workers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pod:
    """One worker pod, as the watch last showed it. Times are seconds since the epoch."""

    uid: str
    name: str
    created_at: float
    ready: bool = False
    ready_at: float | None = None
    terminating: bool = False
    finished: bool = False  # phase Succeeded or Failed: its containers will not run again
    deletion_cost: int = 0  # controller.kubernetes.io/pod-deletion-cost as it stands
    problem: str | None = None  # "ImagePullBackOff: ...", "CrashLoopBackOff: exit 1"


@dataclass(frozen=True, slots=True)
class Share:
    """What one pool has of the connections that all pools of its database share."""

    workers: int  # that the pool may have now
    connections: int  # that each of them takes
    budget: int  # connections for the workers of all pools


@dataclass(frozen=True, slots=True)
class Fleet:
    """One pool's Deployment and pods."""

    current_replicas: int | None = None  # spec.replicas as it stands; None: there is no Deployment yet
    pods: tuple[Pod, ...] = ()
    busy_uids: frozenset[str] = field(default_factory=frozenset)  # pods that hold a processing row
    start_seconds: float = 10.0  # median creation -> ready of the last 20 pods; 10 until known

    @property
    def ready(self) -> int:
        return sum(pod.ready and not pod.terminating for pod in self.pods)

    @property
    def starting(self) -> tuple[Pod, ...]:
        return tuple(pod for pod in self.pods if not (pod.ready or pod.terminating or pod.finished))

    @property
    def busy(self) -> int:
        """Pods that must not be cut: they hold work and are not already on their way out."""
        return sum(pod.uid in self.busy_uids and not pod.terminating for pod in self.pods)

    @property
    def takers(self) -> int:
        """Pods without a job that may take one any moment, ready or not: a worker claims before its first probe."""
        return sum(
            not (pod.uid in self.busy_uids or pod.terminating or pod.finished or pod.problem) for pod in self.pods
        )

    @property
    def kept_by_busy(self) -> int:
        """The smallest number of workers that costs no busy one.

        Kubernetes removes pods that are not ready before any that is, whatever their deletion cost. So while a busy
        pod is not ready (its database was away), no idle ready one can go without it:

            busy and ready, idle and ready, idle and ready      -> 1
            busy and not ready, idle and ready, idle and ready  -> 3
            busy and not ready, idle and not ready              -> 1
        """
        staying = [pod for pod in self.pods if not (pod.terminating or pod.finished)]
        idle = [pod for pod in staying if pod.uid not in self.busy_uids]
        if all(pod.ready for pod in staying if pod.uid in self.busy_uids):
            return len(staying) - len(idle)
        return len(staying) - sum(not pod.ready for pod in idle)


@dataclass(frozen=True, slots=True)
class Rollout:
    """The Deployment's own view of itself."""

    complete: bool = True  # it has seen its newest template, and all its pods run it
    deadline_exceeded: bool = False  # of its newest template: its condition Progressing is False
    paused: bool = False  # by somebody, with `kubectl rollout pause`
    replica_failure: str | None = None  # its condition ReplicaFailure, such as a quota that is used up
