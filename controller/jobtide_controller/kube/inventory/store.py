"""The cluster in memory: pools, their Deployments and pods. Watch and lists write it, the loop reads it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

from pydantic import ValidationError

from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.fleet import Fleet, Rollout
from jobtide_controller.kube.inventory.parse import Deployment, deployment_of, pool_of_pod, ref_of, uid_of, version_of
from jobtide_controller.kube.inventory.pod_trouble import Wait
from jobtide_controller.kube.inventory.pods import Pods
from jobtide_controller.loop.changes import Changes
from jobtide_controller.loop.pools import PoolEntry, Pools
from jobtide_controller.loop.tombstones import Tombstones
from jobtide_controller.telemetry.events import Emit, ObjectRejected

Raw = dict[str, Any]


class Inventory:
    """Upserts by resourceVersion, so that late and repeated events, lists and the answers to our own writes all fit."""

    def __init__(self, emit: Emit) -> None:
        self.changes = Changes()
        self.pools = Pools(self.changes)
        self.pods = Pods()
        self._deployments: dict[str, Deployment] = {}  # by the owning pool's UID
        self._owners: dict[str, str] = {}  # Deployment UID -> the owning pool's
        self._rejected: dict[str, int] = {}
        self._gone: Tombstones[None] = Tombstones()
        self._emit = emit

    def upsert_pool(self, raw: Raw) -> bool:
        """True if the spec is new or changed."""
        uid, version = uid_of(raw), version_of(raw)
        known = self.pools.get(uid)
        if uid in self._gone or (known is not None and known.version >= version):
            return False
        if raw["metadata"].get("deletionTimestamp"):
            # Foreground deletion: the garbage collector would wait for anything that we create now.
            return self._forget_pool(uid)
        if known is not None and known.generation == raw["metadata"].get("generation", 0):
            known.version, known.status = version, raw.get("status")
            return False
        try:
            pool = JobWorkerPool.model_validate({**raw, "status": None})
        except ValidationError as error:
            self._reject(raw, uid, version, error)
            return False
        self._rejected.pop(uid, None)
        entry = PoolEntry(uid, ref_of(raw), pool, version, raw.get("status"))
        if known is not None and known.database != entry.database:
            self.changes.mark(known.database, uid)
        self.pools.put(entry)
        self.pools.mark_with_overlaps(entry)
        return True

    def forget_pool(self, raw: Raw) -> bool:
        """True if it was known."""
        return self._forget_pool(uid_of(raw))

    def upsert_deployment(self, raw: Raw) -> bool:
        """True if it is a pool's and new or changed."""
        uid = uid_of(raw)
        known = self._deployments.get(self._owners.get(uid, ""))
        if uid in self._gone or (known is not None and known.uid == uid and known.version >= version_of(raw)):
            return False
        deployment = deployment_of(raw)
        if deployment is None:
            return False
        before = self._deployments.get(deployment.owner_uid)
        if before is not None and before.version >= deployment.version:
            return False
        if before is not None and before.uid != uid:
            self._owners.pop(before.uid, None)
        self._deployments[deployment.owner_uid] = deployment
        self._owners[uid] = deployment.owner_uid
        self.wake(deployment.owner_uid)
        return True

    def forget_deployment(self, raw: Raw) -> bool:
        return self._forget_deployment(uid_of(raw))

    def upsert_pod(self, raw: Raw) -> bool:
        return self._mark_ref(self.pods.upsert(raw))

    def note_cause(self, uid: str, wait: Wait, cause: str, *, stuck: bool) -> bool:
        """Notes why a pod waits; True if that is new."""
        return self._mark_ref(self.pods.note_cause(uid, wait, cause, stuck=stuck))

    def forget_pod(self, raw: Raw) -> bool:
        """Its jobs wait to be requeued: the pool's database is woken even if the pool is gone already."""
        changed = self._mark_ref(self.pods.forget(raw))
        pool = pool_of_pod(raw)
        if pool is not None and self.pools.by_ref(pool) is None:
            for database in self.pools.databases():
                self.changes.wake(database)
        return changed

    def forget_absent_pools(self, present: AbstractSet[str], list_version: int) -> int:
        """Forgets the pools that a full list of this version should have had; returns how many."""
        absent = [entry.uid for entry in self.pools if entry.uid not in present and entry.version <= list_version]
        return sum([self._forget_pool(uid) for uid in absent])

    def forget_absent_deployments(self, present: AbstractSet[str], list_version: int) -> int:
        """Forgets those that a full list did not have, unless they are newer; returns their number."""
        absent = [
            known.uid
            for known in self._deployments.values()
            if known.uid not in present and known.version <= list_version
        ]
        return sum([self._forget_deployment(uid) for uid in absent])

    def forget_absent_pods(self, present: AbstractSet[str], list_version: int) -> int:
        """Forgets those that a full list did not have, unless they are newer; returns their number."""
        absent = self.pods.absent(present, list_version)
        for uid in absent:
            self._mark_ref(self.pods.vanished(uid))
        return len(absent)

    def deployment(self, pool_uid: str) -> Deployment | None:
        return self._deployments.get(pool_uid)

    def fleet(self, pool_uid: str, busy_uids: AbstractSet[str]) -> Fleet:
        """The pool's workers as the decision looks at them; none for a pool that is gone."""
        entry, deployment = self.pools.get(pool_uid), self._deployments.get(pool_uid)
        if entry is None:
            return Fleet()
        return Fleet(
            current_replicas=None if deployment is None else deployment.replicas,
            pods=self.pods.of(entry.ref),
            busy_uids=frozenset(busy_uids),
            start_seconds=self.pods.start_seconds(entry.ref),
            start_known=self.pods.start_known(entry.ref),
        )

    def rollout(self, pool_uid: str) -> Rollout:
        deployment = self._deployments.get(pool_uid)
        return Rollout() if deployment is None else deployment.rollout

    def _forget_pool(self, uid: str) -> bool:
        self._rejected.pop(uid, None)
        self._gone.add(uid)
        entry = self.pools.drop(uid)
        if entry is None:
            return False
        if self.pools.by_ref(entry.ref) is None:
            self.pods.forget_pool(entry.ref)
        self.pools.mark_with_overlaps(entry)
        return True

    def _forget_deployment(self, uid: str) -> bool:
        self._gone.add(uid)
        owner = self._owners.pop(uid, None)
        known = self._deployments.get(owner) if owner is not None else None
        if owner is None or known is None or known.uid != uid:
            return False
        del self._deployments[owner]
        self.wake(owner)
        return True

    def wake(self, pool_uid: str) -> None:
        """Has the loop look at this pool again."""
        self.pools.mark(pool_uid)

    def _mark_ref(self, ref: PoolRef | None) -> bool:
        if ref is None:
            return False
        entry = self.pools.by_ref(ref)
        if entry is not None:
            self.pools.mark(entry.uid)
        else:
            self.pods.forget_pool(ref)  # the start time of a pod that outlives its pool is of no use
        return True

    def _reject(self, raw: Raw, uid: str, version: int, error: ValidationError) -> None:
        """The API server refuses such an object; an older release of the CRD may have let it in."""
        if self._rejected.get(uid) == version:
            return
        self._rejected[uid] = version
        words = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        self._emit(ObjectRejected("JobWorkerPool", ref_of(raw), uid, words))
