"""The worker pods by UID, those that are gone, and how long a pool's pods take to start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, NamedTuple

from jobtide_controller.api.base import PoolRef
from jobtide_controller.decide.fleet import Pod
from jobtide_controller.kube.inventory.parse import gone_of, pod_of, pool_of_pod, uid_of, version_of
from jobtide_controller.kube.inventory.pod_trouble import Stage, Wait, wait_of
from jobtide_controller.loop.ports import GoneWorker, Presence
from jobtide_controller.loop.start_times import StartTimes
from jobtide_controller.loop.tombstones import Tombstones


class WaitingPod(NamedTuple):
    """The pod of a pool that has waited longest to become ready."""

    pool: PoolRef
    uid: str
    wait: Wait

    @property
    def key(self) -> tuple[str, Stage]:
        """Pod and stage: in another stage it waits for something else."""
        return self.uid, self.wait.step.stage


class Pods:
    """Upserts by resourceVersion: an event that is older than what is known changes nothing."""

    def __init__(self) -> None:
        self._by_pool: defaultdict[PoolRef, dict[str, Pod]] = defaultdict(dict)
        self._known: dict[str, tuple[PoolRef, int]] = {}
        self._waits: dict[str, Wait] = {}  # of the pods that are not ready, and whose status does not say why
        self._gone: Tombstones[GoneWorker] = Tombstones()
        self._starts: StartTimes[PoolRef] = StartTimes()

    def __len__(self) -> int:
        return len(self._known)

    def upsert(self, raw: dict[str, Any]) -> PoolRef | None:
        """Returns the pool whose fleet changed, if any."""
        pool, uid, version = pool_of_pod(raw), uid_of(raw), version_of(raw)
        known = self._known.get(uid)
        is_old = uid in self._gone if known is None else known[1] >= version
        if pool is None or is_old:
            return None
        self._known[uid] = (pool, version)
        before = self._by_pool[pool].get(uid)
        now = self._with_cause(pod_of(raw), wait_of(raw), before)
        self._by_pool[pool][uid] = now
        if now.ready and now.ready_at is not None and not (before and before.ready_at):
            self._starts.add(pool, now.ready_at - now.created_at)
        if now.finished:
            # The first value stays: a crash remains a crash when the pod is deleted later.
            self._gone.add(uid, gone_of(raw))
        return pool if before != now else None

    def waiting(self) -> list[WaitingPod]:
        """Of each pool, the pod that has waited longest."""
        found: dict[PoolRef, WaitingPod] = {}
        for uid, wait in self._waits.items():
            pool, _ = self._known[uid]
            if pool not in found or wait.since < found[pool].wait.since:
                found[pool] = WaitingPod(pool, uid, wait)
        return list(found.values())

    def note_cause(self, uid: str, wait: Wait, cause: str, *, stuck: bool) -> PoolRef | None:
        """Why this pod waits. Returns its pool if that is new; a pod that has come further since is left as it is."""
        known, now = self._known.get(uid), self._waits.get(uid)
        if known is None or now is None or now.step.stage is not wait.step.stage:
            return None
        pod = self._by_pool[known[0]][uid]
        if (pod.cause, pod.stuck) == (cause, stuck):
            return None
        self._by_pool[known[0]][uid] = replace(pod, cause=cause, stuck=stuck)
        return known[0]

    def forget(self, raw: dict[str, Any]) -> PoolRef | None:
        """A pod was deleted: its containers no longer run. Returns its pool."""
        if pool_of_pod(raw) is None:
            return None
        self._gone.add(uid_of(raw), gone_of(raw))
        return self._drop(uid_of(raw))

    def vanished(self, uid: str) -> PoolRef | None:
        """A pod is absent from a list that is newer than all we know of it."""
        self._gone.add(uid, GoneWorker(gives_back=True))
        return self._drop(uid)

    def absent(self, present: AbstractSet[str], list_version: int) -> list[str]:
        """UIDs that a full list of this version should contain and does not."""
        return [uid for uid, (_, version) in self._known.items() if uid not in present and version <= list_version]

    def of(self, pool: PoolRef) -> tuple[Pod, ...]:
        return tuple(self._by_pool[pool].values()) if pool in self._by_pool else ()

    def start_seconds(self, pool: PoolRef) -> float:
        """The median time from creation to ready of the last pods."""
        return self._starts.median(pool)

    def presence_of(self, uid: str) -> GoneWorker | Presence:
        """What is known of this pod; UNKNOWN also for one that was forgotten long ago."""
        gone = self._gone.get(uid)
        if gone is not None:
            return gone
        return Presence.ALIVE if uid in self._known else Presence.UNKNOWN

    def start_known(self, pool: PoolRef) -> bool:
        """Whether a pod of this pool has become ready since this process runs."""
        return self._starts.is_known(pool)

    def forget_pool(self, pool: PoolRef) -> None:
        """Drops the pool's learned start times; its pods stay until their own events."""
        self._starts.forget(pool)

    def _with_cause(self, now: Pod, wait: Wait | None, before: Pod | None) -> Pod:
        """The cause stays as long as the pod waits for the same."""
        earlier = self._waits.pop(now.uid, None)
        if wait is None or now.problem is not None:
            return now
        self._waits[now.uid] = wait
        is_same = before is not None and earlier is not None and earlier.step.stage is wait.step.stage
        return replace(now, cause=before.cause, stuck=before.stuck) if before is not None and is_same else now

    def _drop(self, uid: str) -> PoolRef | None:
        self._waits.pop(uid, None)
        known = self._known.pop(uid, None)
        if known is None:
            return None
        pool, _ = known
        pods = self._by_pool[pool]
        pods.pop(uid, None)
        if not pods:
            del self._by_pool[pool]
        return pool
