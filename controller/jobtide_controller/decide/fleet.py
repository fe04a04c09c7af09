"""The state of one pool's workers in Kubernetes, as plain values."""

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
    gone_by: float | None = None  # when its grace period ends, if it is terminating
    finished: bool = False  # phase Succeeded or Failed: its containers do not run again
    deletion_cost: int = 0  # its annotation controller.kubernetes.io/pod-deletion-cost
    problem: str | None = None  # by its status: "ImagePullBackOff: ...", "CrashLoopBackOff: ..."; it claims no job
    cause: str | None = None  # by its Events or its worker: "FailedMount: ...", "NotReady: ..."; it may still claim
    stuck: bool = False  # the cause is a failure, and lasts longer than a start


@dataclass(frozen=True, slots=True)
class Share:
    """One pool's part of the connections that all pools of its database share."""

    workers: int  # the number that the pool may have now
    connections: int  # the number that each of them holds
    budget: int  # connections for the workers of all pools


@dataclass(frozen=True, slots=True)
class Fleet:
    """One pool's Deployment and pods."""

    current_replicas: int | None = None  # spec.replicas of the Deployment; None: it does not exist yet
    pods: tuple[Pod, ...] = ()
    busy_uids: frozenset[str] = field(default_factory=frozenset)  # UIDs of pods that hold a processing row
    start_seconds: float = 10.0  # median creation -> ready of the last 20 pods; 10 until known
    start_known: bool = True  # start_seconds was measured

    @property
    def ready(self) -> int:
        """Number of pods that are ready and not terminating."""
        return sum(pod.ready and not pod.terminating for pod in self.pods)

    @property
    def starting(self) -> tuple[Pod, ...]:
        """Pods that are not ready yet."""
        return tuple(pod for pod in self.pods if not (pod.ready or pod.terminating or pod.finished))

    @property
    def busy(self) -> int:
        """Number of pods that must not be removed: they hold jobs and are not terminating."""
        return sum(pod.uid in self.busy_uids and not pod.terminating for pod in self.pods)

    @property
    def may_claim(self) -> int:
        """Number of pods without a job that may claim one now, ready or not: a worker claims before its first probe."""
        return sum(
            not (pod.uid in self.busy_uids or pod.terminating or pod.finished or pod.problem) for pod in self.pods
        )

    @property
    def min_replicas_for_busy(self) -> int:
        """The lowest number of replicas that removes no busy pod.

        Kubernetes removes pods that are not ready before ready ones, regardless of deletion cost. So while a busy
        pod is not ready (its database was unreachable), no idle ready pod can be removed before it:

            busy and ready, idle and ready, idle and ready      -> 1
            busy and not ready, idle and ready, idle and ready  -> 3
            busy and not ready, idle and not ready              -> 1
        """
        present = [pod for pod in self.pods if not (pod.terminating or pod.finished)]
        idle = [pod for pod in present if pod.uid not in self.busy_uids]
        if all(pod.ready for pod in present if pod.uid in self.busy_uids):
            return len(present) - len(idle)
        return len(present) - sum(not pod.ready for pod in idle)


@dataclass(frozen=True, slots=True)
class Rollout:
    """The state of the Deployment's rollout."""

    complete: bool = True  # the newest template is observed, and all pods run it
    deadline_exceeded: bool = False  # its condition Progressing is False for the newest template
    paused: bool = False  # by a user, with `kubectl rollout pause`
    replica_failure: str | None = None  # its condition ReplicaFailure, such as an exceeded quota
