"""The pools, and which of them read which types of which database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.context import Overlap
from jobtide_controller.instrument import PoolRef


@dataclass(slots=True)
class PoolEntry:
    """One pool as the API server has it; its status is ours and follows our own writes."""

    uid: str
    ref: PoolRef
    pool: JobWorkerPool
    version: int
    status: Mapping[str, Any] | None
    template_hash: str | None = None  # of the manifest, once it was needed

    @property
    def database(self) -> str:
        return self.pool.spec.database

    @property
    def types(self) -> tuple[str, ...]:
        return self.pool.spec.types


class Pools:
    """By UID, with the way back from a type to its pools: a reading is handed out without looking at all pools."""

    def __init__(self) -> None:
        self._entries: dict[str, PoolEntry] = {}
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
        self.drop(entry.uid)
        self._entries[entry.uid] = entry
        self._uids[entry.ref] = entry.uid
        for type_ in entry.types:
            self._by_type[entry.database].setdefault(type_, set()).add(entry.uid)

    def drop(self, uid: str) -> PoolEntry | None:
        entry = self._entries.pop(uid, None)
        if entry is None:
            return None
        if self._uids.get(entry.ref) == uid:
            del self._uids[entry.ref]
        by_type = self._by_type[entry.database]
        for type_ in entry.types:
            by_type[type_].discard(uid)
            if not by_type[type_]:
                del by_type[type_]
        if not by_type:
            del self._by_type[entry.database]
        return entry

    def databases(self) -> set[str]:
        return set(self._by_type)

    def types(self, database: str) -> list[str]:
        """Every type that some pool of this database handles."""
        return list(self._by_type.get(database, ()))

    def of_type(self, database: str, type_: str) -> set[str]:
        return self._by_type.get(database, {}).get(type_, set())

    def of_database(self, database: str) -> list[PoolEntry]:
        return [entry for entry in self._entries.values() if entry.database == database]

    def overlaps(self, entry: PoolEntry) -> tuple[Overlap, ...]:
        """Types that another pool of the same database handles too."""
        found = []
        for type_ in entry.types:
            others = self.of_type(entry.database, type_) - {entry.uid}
            if others:
                found.append(Overlap(type_, tuple(sorted(str(self._entries[uid].ref) for uid in others))))
        return tuple(found)
