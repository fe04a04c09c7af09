"""The pools in memory, for every implementation of the port: which handle which types of which database."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any

from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.loop.changes import Changes
from jobtide_controller.render.facts import Overlap

# 10,000 pools as objects are 140 MB, as text 20 MB. Pools that have something to do are read in every tick: this many
# of them stay parsed.
PARSED_POOLS = 1_000


class PoolEntry:
    """One pool as its user wrote it, and the status as our last write left it. Kept as text, because there are
    many pools and most of them rest.
    """

    __slots__ = (
        "_pool",
        "_status",
        "database",
        "generation",
        "not_allowed",
        "ref",
        "template_hash",
        "types",
        "uid",
        "version",
    )

    def __init__(
        self,
        uid: str,
        ref: PoolRef,
        pool: JobWorkerPool,
        version: int,
        status: Mapping[str, Any] | None,
        *,
        not_allowed: str | None = None,
    ) -> None:
        """`not_allowed`: why the pool may not use its database; then none of its types is read or compared."""
        self.uid = uid
        self.ref = ref
        self.version = version
        self.generation = pool.metadata.generation
        self.database = pool.spec.database
        self.not_allowed = not_allowed
        self.types = pool.spec.types if not_allowed is None else ()
        self.template_hash: str | None = None  # of the manifest, once it was needed
        self._pool = pool.model_dump_json(by_alias=True, exclude_unset=True).encode()
        self.status = status

    @property
    def pool(self) -> JobWorkerPool:
        return _pool_of(self._pool)

    @property
    def status(self) -> Mapping[str, Any] | None:
        return None if self._status is None else _status_of(self._status)

    @status.setter
    def status(self, status: Mapping[str, Any] | None) -> None:
        self._status = None if status is None else json.dumps(status, separators=(",", ":"))


@lru_cache(maxsize=PARSED_POOLS)
def _pool_of(text: bytes) -> JobWorkerPool:
    return JobWorkerPool.model_validate_json(text)


@lru_cache(maxsize=PARSED_POOLS)
def _status_of(text: str) -> Mapping[str, Any]:
    status: Mapping[str, Any] = json.loads(text)
    return status


class Pools:
    """The loop's port Pools: by UID, and from a type to its pools, so that a reading is handed out without a scan."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._entries: dict[str, PoolEntry] = {}
        self._by_database: defaultdict[str, set[str]] = defaultdict(set)
        self._uids: dict[PoolRef, str] = {}
        self._by_type: defaultdict[str, dict[str, set[str]]] = defaultdict(dict)

    def __iter__(self) -> Iterator[PoolEntry]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, uid: str) -> PoolEntry | None:
        return self._entries.get(uid)

    def by_ref(self, ref: PoolRef) -> PoolEntry | None:
        return self._entries.get(self._uids.get(ref, ""))

    def put(self, entry: PoolEntry) -> None:
        """Adds the entry, or replaces the one with the same UID."""
        self.drop(entry.uid)
        self._entries[entry.uid] = entry
        self._uids[entry.ref] = entry.uid
        self._by_database[entry.database].add(entry.uid)
        for type_ in entry.types:
            self._by_type[entry.database].setdefault(type_, set()).add(entry.uid)

    def drop(self, uid: str) -> PoolEntry | None:
        """Returns the entry that was removed; None if there was none."""
        entry = self._entries.pop(uid, None)
        if entry is None:
            return None
        if self._uids.get(entry.ref) == uid:
            del self._uids[entry.ref]
        self._by_database[entry.database].discard(uid)
        by_type = self._by_type[entry.database]
        for type_ in entry.types:
            by_type[type_].discard(uid)
            if not by_type[type_]:
                del by_type[type_]
        if not self._by_database[entry.database]:
            del self._by_database[entry.database], self._by_type[entry.database]
        return entry

    def databases(self) -> set[str]:
        return set(self._by_database)

    def types(self, database: str) -> list[str]:
        """Every type that at least one pool of this database handles."""
        return list(self._by_type.get(database, ()))

    def of_type(self, database: str, type_: str) -> set[str]:
        return self._by_type.get(database, {}).get(type_, set())

    def of_database(self, database: str) -> AbstractSet[str]:
        return self._by_database.get(database, frozenset())

    def take_changed(self, database: str) -> set[str]:
        return self._changes.take(database)

    def mark(self, uid: str) -> None:
        """Has the loop look at this pool again."""
        entry = self._entries.get(uid)
        if entry is not None:
            self._changes.mark(entry.database, uid)

    def mark_with_overlaps(self, entry: PoolEntry) -> None:
        """Marks the pool, and those that share a type with it, because their conditions show the overlap."""
        self._changes.mark(entry.database, entry.uid)
        for type_ in entry.types:
            for uid in self.of_type(entry.database, type_):
                self._changes.mark(entry.database, uid)

    async def wait_for_change(self, database: str, seconds: float) -> None:
        await self._changes.wait(database, seconds)

    def overlaps(self, uid: str) -> tuple[Overlap, ...]:
        """Types that another pool of the same database handles too."""
        entry, found = self._entries[uid], []
        for type_ in entry.types:
            others = self.of_type(entry.database, type_) - {uid}
            if others:
                found.append(Overlap(type_, tuple(sorted(str(self._entries[uid].ref) for uid in others))))
        return tuple(found)
