"""What the API server showed during the run: numbers of workers, ends of pods, holders of the lease."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from dev.stage.pools import is_ready
from dev.stage.watch import Event
from jobtide_controller.kube.inventory.parse import SCALE_MANAGER
from jobtide_controller.render.deployment import POOL_LABEL


@dataclass(frozen=True, slots=True)
class Pod:
    """A worker or a controller, as last seen. All times in this file are seconds since 1970."""

    uid: str
    name: str
    namespace: str
    pool: str  # empty: not a worker
    ready: bool
    running: bool
    asked_to_stop_at: float | None  # rounded down to a whole second

    @property
    def is_target(self) -> bool:
        """True if a fault can strike it: it runs and is not being deleted."""
        return self.running and self.asked_to_stop_at is None


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a worker's container, and its exit code: 137 for SIGKILL."""

    at: float  # rounded down to a whole second
    pod: Pod
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Resize:
    """A change of a pool's replicas, at the time at which the controller wrote it."""

    at: float
    pool: str
    before: int
    replicas: int


@dataclass(frozen=True, slots=True)
class Holding:
    """One holder of the lease, from its acquisition to the last renewal that was seen."""

    holder: str
    acquired_at: float
    renewed_at: float
    released: bool = False


@dataclass(slots=True)
class Fleet:
    """Receives the events of watches, from several threads."""

    pods: dict[str, Pod] = field(default_factory=dict)  # by uid; deleted ones stay
    gone: set[str] = field(default_factory=set)
    exits: dict[tuple[str, float], Exit] = field(default_factory=dict)  # by the pod's uid and the time
    resizes: list[Resize] = field(default_factory=list)
    holdings: list[Holding] = field(default_factory=list)
    most_workers: int = 0
    _replicas: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def see_pod(self, event: Event) -> None:
        pod = _pod(event.object)
        with self._lock:
            known = self.pods.get(pod.uid)
            if known is not None and known.asked_to_stop_at is not None:  # a later request has another grace period
                pod = replace(pod, asked_to_stop_at=known.asked_to_stop_at)
            self.pods[pod.uid] = pod
            if pod.pool:
                self.exits |= {(pod.uid, found.at): found for found in _exits(pod, event.object)}
            if event.type == "DELETED":
                self.gone.add(pod.uid)
            self.most_workers = max(self.most_workers, sum(bool(pod.pool) for pod in self._living()))

    def see_deployment(self, event: Event) -> None:
        if event.type == "DELETED":
            return
        item = event.object
        pool, replicas = item["metadata"].get("labels", {}).get(POOL_LABEL, ""), item["spec"]["replicas"]
        at = min(event.at, _scaled_at(item))
        with self._lock:
            before = self._replicas.get(pool, replicas)
            self._replicas[pool] = replicas
            if before != replicas:
                self.resizes.append(Resize(at, pool, before, replicas))

    def see_lease(self, event: Event) -> None:
        spec = event.object["spec"]
        if event.type == "DELETED" or "renewTime" not in spec:
            return
        holder, renewed_at, acquired_at = (
            spec.get("holderIdentity") or "",
            _time(spec["renewTime"]),
            spec["acquireTime"],
        )
        with self._lock:
            last = self.holdings[-1] if self.holdings else None
            if not holder:
                if last is not None:
                    self.holdings[-1] = Holding(last.holder, last.acquired_at, last.renewed_at, released=True)
                return
            seen = Holding(holder, _time(acquired_at), renewed_at)
            if last is not None and (last.holder, last.acquired_at) == (seen.holder, seen.acquired_at):
                self.holdings[-1] = seen
            else:
                self.holdings.append(seen)

    def workers(self) -> list[Pod]:
        """The workers that a fault can strike, by UID."""
        with self._lock:
            return sorted((pod for pod in self._living() if pod.pool and pod.is_target), key=lambda pod: pod.uid)

    def stopped(self) -> list[tuple[float, Pod]]:
        """Pods that were asked to stop, and when."""
        with self._lock:
            return [(pod.asked_to_stop_at, pod) for pod in self.pods.values() if pod.asked_to_stop_at is not None]

    def living_workers(self) -> int:
        with self._lock:
            return sum(bool(pod.pool) for pod in self._living())

    def controllers(self) -> list[Pod]:
        with self._lock:
            return sorted((pod for pod in self._living() if not pod.pool and pod.is_target), key=lambda pod: pod.uid)

    def leader(self) -> Pod | None:
        """The pod that held the lease last, if it still runs."""
        with self._lock:
            holder = self.holdings[-1].holder if self.holdings else None
            return next((pod for pod in self._living() if pod.name == holder and pod.is_target), None)

    def _living(self) -> list[Pod]:
        return [pod for uid, pod in self.pods.items() if uid not in self.gone]


def _pod(item: Mapping[str, Any]) -> Pod:
    metadata, status = item["metadata"], item.get("status", {})
    stop_at = metadata.get("deletionTimestamp")
    grace_seconds = metadata.get("deletionGracePeriodSeconds") or 0
    return Pod(
        uid=metadata["uid"],
        name=metadata["name"],
        namespace=metadata["namespace"],
        pool=metadata.get("labels", {}).get(POOL_LABEL, ""),
        ready=is_ready(item),
        running=status.get("phase") == "Running",
        asked_to_stop_at=None if stop_at is None else _time(stop_at) - grace_seconds,
    )


def _exits(pod: Pod, item: Mapping[str, Any]) -> Iterator[Exit]:
    for container in item.get("status", {}).get("containerStatuses", ()):
        for state in (container.get("state", {}), container.get("lastState", {})):
            if (ended := state.get("terminated")) is not None and ended.get("finishedAt"):
                yield Exit(_time(ended["finishedAt"]), pod, ended["exitCode"], ended.get("reason", ""))


def _scaled_at(item: Mapping[str, Any]) -> float:
    """When replicas was written, rounded up to a second: after a cut-off the event arrives late."""
    managers = item["metadata"].get("managedFields", [])
    return max((_time(own["time"]) for own in managers if own["manager"] == SCALE_MANAGER), default=math.inf) + 1


def _time(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()
