"""The cluster in memory: pools, their Deployments and pods. Watch and lists write it, the loop reads it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.faults import faults, misfits
from jobtide_controller.api.v1alpha1 import JobWorkerPool, JobWorkerPoolSpec
from jobtide_controller.decide.fleet import Fleet, Rollout
from jobtide_controller.kube.inventory.parse import (
    Deployment,
    deployment_of,
    pool_of_pod,
    ref_of,
    reported_status_of,
    uid_of,
    version_of,
)
from jobtide_controller.kube.inventory.pod_trouble import Wait
from jobtide_controller.kube.inventory.pods import Pods
from jobtide_controller.loop.changes import Changes
from jobtide_controller.loop.pools import PoolEntry, Pools, Refused
from jobtide_controller.loop.tombstones import Tombstones
from jobtide_controller.telemetry.events import Emit, ObjectRejected

Raw = dict[str, Any]

DEFAULT_DATABASE = JobWorkerPoolSpec.model_fields["database"].default
REFUSAL_CHARACTERS = 2_000


class Inventory:
    """Upserts by resourceVersion, so that late and repeated events, lists and the answers to our own writes all fit."""

    def __init__(self, emit: Emit, namespaces: Mapping[str, Collection[str]] = MappingProxyType({})) -> None:
        """`namespaces`: by database, those whose pools may name it; all may name a database that is not in it."""
        self._namespaces = namespaces
        self.changes = Changes()
        self.pools = Pools(self.changes)
        self.pods = Pods()
        self._deployments: dict[PoolRef, Deployment] = {}  # by the owning pool
        self._owners: dict[str, PoolRef] = {}  # Deployment UID -> the owning pool
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
            known.version, known.status = version, reported_status_of(raw)
            return False
        try:
            entry = self._entry(raw, _pool_or_refused(raw))
        except Exception as error:  # noqa: BLE001 - one pool's content, which stops no other pool
            words = f"it can't be understood: {type(error).__name__}: {error}"
            entry = self._entry(raw, _refused(raw, [words]))
        if entry.refusal is not None:
            self._emit(ObjectRejected("JobWorkerPool", entry.ref, uid, entry.refusal))
        self.pools.put(entry)
        return True

    def forget_pool(self, raw: Raw) -> bool:
        """True if it was known."""
        return self._forget_pool(uid_of(raw))

    def upsert_deployment(self, raw: Raw) -> bool:
        """True if it is a pool's and new or changed."""
        uid = uid_of(raw)
        ref = self._owners.get(uid)
        known = None if ref is None else self._deployments.get(ref)
        if uid in self._gone or (known is not None and known.uid == uid and known.version >= version_of(raw)):
            return False
        deployment = deployment_of(raw)
        if deployment is None:
            return False
        owner = deployment.owner
        before = self._deployments.get(owner.ref)
        if before is not None and before.version >= deployment.version:
            return False
        if before is not None and before.uid != uid:
            self._owners.pop(before.uid, None)
        self._deployments[owner.ref] = deployment
        self._owners[uid] = owner.ref
        self._wake_owner(deployment)
        return True

    def note_scale(self, scale: Raw) -> bool:
        """Notes the Scale with which the API server answered our write; True if its Deployment's event came later."""
        ref = self._owners.get(uid_of(scale))
        known = None if ref is None else self._deployments.get(ref)
        if ref is None or known is None or known.uid != uid_of(scale) or known.version >= version_of(scale):
            return False
        # The API server leaves out a number that is 0.
        self._deployments[ref] = known.scaled(version_of(scale), scale["spec"].get("replicas", 0))
        self._wake_owner(self._deployments[ref])
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
        entry = self.pools.get(pool_uid)
        deployment = None if entry is None else self._deployments.get(entry.ref)
        return None if deployment is None or deployment.owner.uid != pool_uid else deployment

    def fleet(self, pool_uid: str, busy_uids: AbstractSet[str]) -> Fleet:
        """The pool's workers as the decision looks at them; none for a pool that is gone."""
        entry, deployment = self.pools.get(pool_uid), self.deployment(pool_uid)
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
        deployment = self.deployment(pool_uid)
        return Rollout() if deployment is None else deployment.rollout

    def _entry(self, raw: Raw, pool: JobWorkerPool | Refused) -> PoolEntry:
        ref, database = ref_of(raw), pool.database if isinstance(pool, Refused) else pool.spec.database
        not_allowed = self._not_allowed(database, ref.namespace)
        return PoolEntry(uid_of(raw), ref, pool, version_of(raw), reported_status_of(raw), not_allowed=not_allowed)

    def _forget_pool(self, uid: str) -> bool:
        self._gone.add(uid)
        entry = self.pools.drop(uid)
        if entry is None:
            return False
        if self.pools.by_ref(entry.ref) is None:
            self.pods.forget_pool(entry.ref)
        return True

    def _forget_deployment(self, uid: str) -> bool:
        self._gone.add(uid)
        owner = self._owners.pop(uid, None)
        known = self._deployments.get(owner) if owner is not None else None
        if owner is None or known is None or known.uid != uid:
            return False
        self._wake_owner(known)
        del self._deployments[owner]
        return True

    def wake(self, pool_uid: str) -> None:
        """Has the loop look at this pool again."""
        self.pools.mark(pool_uid)

    def _wake_owner(self, deployment: Deployment) -> None:
        if self.deployment(deployment.owner.uid) is deployment:
            self.wake(deployment.owner.uid)

    def _mark_ref(self, ref: PoolRef | None) -> bool:
        if ref is None:
            return False
        entry = self.pools.by_ref(ref)
        if entry is not None:
            self.pools.mark(entry.uid)
        else:
            self.pods.forget_pool(ref)  # the start time of a pod that outlives its pool is of no use
        return True

    def may_use(self, database: str, namespace: str) -> bool:
        """Whether pools of this namespace may name this database."""
        allowed = self._namespaces.get(database)
        return allowed is None or namespace in allowed

    def _not_allowed(self, database: str, namespace: str) -> str | None:
        if self.may_use(database, namespace):
            return None
        return (
            f'spec.database "{database}" may not be used from namespace {namespace}, so the pool has no workers: ask '
            f"who installed Jobtide to add {namespace} to databases.{database}.namespaces in the chart's values, or "
            "create the pool with another spec.database"
        )


def _pool_or_refused(raw: Raw) -> JobWorkerPool | Refused:
    """The pool, or all that is kept of one that can't be used. The API server lets some of these in."""
    try:
        pool = JobWorkerPool.model_validate({**raw, "status": None})
    except ValidationError as error:
        return _refused(raw, misfits(error))
    found = faults(raw["spec"])
    return _refused(raw, found) if found else pool


def _refused(raw: Raw, found: list[str]) -> Refused:
    words = "; ".join(found)
    spec = raw.get("spec")
    database = spec.get("database") if isinstance(spec, dict) else None
    generation = raw["metadata"].get("generation")
    return Refused(
        database if isinstance(database, str) and database else DEFAULT_DATABASE,
        generation if isinstance(generation, int) else 0,
        words if len(words) <= REFUSAL_CHARACTERS else f"{words[:REFUSAL_CHARACTERS]}...",
    )
