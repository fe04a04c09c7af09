"""The pools in memory, for every implementation of the port: which handle which types of which database."""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Generic, NamedTuple, TypeVar

from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.spec import UNLIMITED, Retention
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.retention import is_set
from jobtide_controller.loop.changes import Changes
from jobtide_controller.render.facts import Overlap

# So many characters of text stay parsed. Pools that have something to do are read in every tick: some two thousand
# ordinary ones stay. A status is read when another one is written. Parsed, an ordinary pool takes ten times as much
# memory as its text, a status six times, the worst content thirty times.
PARSED_POOLS, PARSED_STATUSES = 2_000_000, 1_000_000

# A status of ours with ten decisions and 64 types is a tenth of this, and within it also with the longest names and
# limits of tenants; a longer one was written by another client.
STATUS_CHARACTERS = 262_144

NO_RETENTION = Retention()  # one for all pools without one

POOLS_NAMED = 3  # of those that handle the same type, in a status

Parsed = TypeVar("Parsed")


class ParsedTexts(Generic[Parsed]):
    """The values of the texts that were asked for last, as many as `max_characters` of text have."""

    def __init__(self, parse: Callable[[str], Parsed], max_characters: int) -> None:
        self._parse = parse
        self._max_characters = max_characters
        self._characters = 0
        self._values: OrderedDict[str, Parsed] = OrderedDict()

    def __call__(self, text: str) -> Parsed:
        if (known := self._values.get(text)) is not None:
            self._values.move_to_end(text)
            return known
        value = self._values[text] = self._parse(text)
        self._characters += len(text)
        while self._characters > self._max_characters:
            oldest, _ = self._values.popitem(last=False)
            self._characters -= len(oldest)
        return value


def _status_of(text: str) -> Mapping[str, Any]:
    status: Mapping[str, Any] = json.loads(text)
    return status


_parsed_pool = ParsedTexts(JobWorkerPool.model_validate_json, PARSED_POOLS)
_parsed_status = ParsedTexts(_status_of, PARSED_STATUSES)


class Refused(NamedTuple):
    """All that is kept of a pool that can't be used."""

    database: str
    generation: int
    words: str  # which field, what is wrong with its value, what to do


class PoolEntry:
    """One pool as its user wrote it, and the status as our last write left it. Kept as text, because there are
    many pools and most of them rest. A refused pool handles no types; its workers stay as they are.
    """

    __slots__ = (
        "_pool",
        "_status",
        "database",
        "generation",
        "least_limit",
        "not_allowed",
        "ref",
        "refusal",
        "retention",
        "template_hash",
        "tenants",
        "types",
        "uid",
        "version",
    )

    def __init__(
        self,
        uid: str,
        ref: PoolRef,
        pool: JobWorkerPool | Refused,
        version: int,
        status: Mapping[str, Any] | None,
        *,
        not_allowed: str | None = None,
    ) -> None:
        """`not_allowed`: why the pool may not use its database; then none of its types is read or compared."""
        self.uid = uid
        self.ref = ref
        self.version = version
        self.not_allowed = not_allowed
        self.template_hash: tuple[object, str] | None = None  # of the manifest, once it was needed, and its limits
        self.status = status
        self.refusal: str | None = None
        if isinstance(pool, Refused):
            self.database, self.generation, self.refusal = pool
            self.types: tuple[str, ...] = ()
            self.retention = NO_RETENTION
            self.tenants, self.least_limit = UNLIMITED, 0
            self._pool = ""
        else:
            self.database, self.generation = pool.spec.database, pool.metadata.generation
            self.types = pool.spec.types if not_allowed is None else ()
            self.retention = pool.spec.retention if is_set(pool.spec.retention) else NO_RETENTION
            self.tenants = UNLIMITED if pool.spec.tenants == UNLIMITED else pool.spec.tenants
            self.least_limit = self.tenants.least
            self._pool = pool.model_dump_json(by_alias=True, exclude_unset=True)

    @property
    def pool(self) -> JobWorkerPool:
        """Raises LookupError for a refused pool."""
        if self.refusal is not None:
            raise LookupError(f"{self.ref} was refused: {self.refusal}")
        return _parsed_pool(self._pool)

    @property
    def pool_text(self) -> str:
        """The pool as JSON, for another thread than the loop's; empty for a refused pool."""
        return self._pool

    @property
    def status_text(self) -> str | None:
        """The status as JSON, for another thread than the loop's."""
        return self._status

    @property
    def status(self) -> Mapping[str, Any] | None:
        return None if self._status is None else _parsed_status(self._status)

    @status.setter
    def status(self, status: Mapping[str, Any] | None) -> None:
        try:
            text = json.dumps(status, separators=(",", ":"))
        except RecursionError:  # another client's: ours replaces it
            text = ""
        self._status = text if status is not None and 0 < len(text) <= STATUS_CHARACTERS else None


class _Sharing:
    """The pools that handle one type. Their names are kept in order, so that the first few cost no sort."""

    __slots__ = ("least_limits", "names", "uids")

    def __init__(self) -> None:
        self.uids: set[str] = set()
        self.names: list[str] = []
        self.least_limits: dict[str, int] = {}  # by UID, of the pools that limit their tenants

    def add(self, uid: str, name: str, least_limit: int) -> None:
        self.uids.add(uid)
        insort(self.names, name)
        if least_limit:
            self.least_limits[uid] = least_limit

    def remove(self, uid: str, name: str) -> None:
        self.uids.discard(uid)
        self.least_limits.pop(uid, None)
        del self.names[bisect_left(self.names, name)]

    @property
    def shown(self) -> tuple[str, ...]:
        """All that the statuses of these pools show of each other."""
        return tuple(self.names[: POOLS_NAMED + 2])


class Pools:
    """The loop's port Pools: by UID, and from a type to its pools, so that a reading is handed out without a scan."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._entries: dict[str, PoolEntry] = {}
        self._by_database: defaultdict[str, set[str]] = defaultdict(set)
        self._uids: dict[PoolRef, str] = {}
        self._by_type: defaultdict[str, dict[str, _Sharing]] = defaultdict(dict)
        self._least_limits: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._changed_types: defaultdict[str, set[str]] = defaultdict(set)
        self._unstored: set[str] = set()  # databases without a table for limits

    def __iter__(self) -> Iterator[PoolEntry]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, uid: str) -> PoolEntry | None:
        return self._entries.get(uid)

    def by_ref(self, ref: PoolRef) -> PoolEntry | None:
        return self._entries.get(self._uids.get(ref, ""))

    def put(self, entry: PoolEntry) -> None:
        """Adds the entry, or replaces the one with the same UID. Marks it, and those whose status shows it."""
        known = self._entries.get(entry.uid)
        if known is not None and _place(known) == _place(entry):
            self._entries[entry.uid] = entry
            self._changes.mark(entry.database, entry.uid)
            return
        self.drop(entry.uid)
        self._entries[entry.uid] = entry
        self._uids[entry.ref] = entry.uid
        self._by_database[entry.database].add(entry.uid)
        for type_ in entry.types:
            sharing = self._by_type[entry.database].setdefault(type_, _Sharing())
            before = sharing.shown
            sharing.add(entry.uid, str(entry.ref), entry.least_limit)
            self._note_change(entry.database, type_, before, sharing)
        self._changes.mark(entry.database, entry.uid)

    def drop(self, uid: str) -> PoolEntry | None:
        """Returns the entry that was removed; None if there was none. Marks it, and those whose status showed it."""
        entry = self._entries.pop(uid, None)
        if entry is None:
            return None
        if self._uids.get(entry.ref) == uid:
            del self._uids[entry.ref]
        self._by_database[entry.database].discard(uid)
        by_type = self._by_type[entry.database]
        for type_ in entry.types:
            sharing = by_type[type_]
            before = sharing.shown
            sharing.remove(uid, str(entry.ref))
            self._note_change(entry.database, type_, before, sharing)
            if not sharing.uids:
                del by_type[type_]
        self._changes.mark(entry.database, uid)
        if not self._by_database[entry.database]:
            del self._by_database[entry.database], self._by_type[entry.database]
            self._least_limits.pop(entry.database, None)
            self._unstored.discard(entry.database)
        return entry

    def databases(self) -> set[str]:
        return set(self._by_database)

    def types(self, database: str) -> list[str]:
        """Every type that at least one pool of this database handles."""
        return list(self._by_type.get(database, ()))

    def note_stored(self, database: str, *, is_stored: bool | None) -> None:
        if is_stored is not False:
            self._unstored.discard(database)
        elif database in self._by_database:
            self._unstored.add(database)

    def stores_limits(self, database: str) -> bool:
        """Whether limits of tenants are in the database; so it is where that is not known yet."""
        return database not in self._unstored

    def least_limits(self, database: str) -> Mapping[str, int]:
        """The types of which a pool limits its tenants' running jobs, each with the lowest of these limits."""
        return self._least_limits.get(database, {})

    def of_type(self, database: str, type_: str) -> AbstractSet[str]:
        sharing = self._by_type.get(database, {}).get(type_)
        return frozenset() if sharing is None else sharing.uids

    def of_database(self, database: str) -> AbstractSet[str]:
        return self._by_database.get(database, frozenset())

    def take_changed(self, database: str) -> set[str]:
        changed = self._changes.take(database)
        for type_ in self._changed_types.pop(database, ()):
            changed |= self.of_type(database, type_)
        return changed

    def mark(self, uid: str) -> None:
        """Has the loop look at this pool again."""
        entry = self._entries.get(uid)
        if entry is not None:
            self._changes.mark(entry.database, uid)

    async def wait_for_change(self, database: str, seconds: float) -> None:
        await self._changes.wait(database, seconds)

    def overlaps(self, uid: str) -> tuple[Overlap, ...]:
        """Types that another pool of the same database handles too. Costs the same with a thousand such pools."""
        entry, found = self._entries[uid], []
        own = str(entry.ref)
        for type_ in entry.types:
            others = [name for name in self._by_type[entry.database][type_].shown if name != own]
            if others:
                found.append(Overlap(type_, tuple(others[:POOLS_NAMED]), has_more=len(others) > POOLS_NAMED))
        return tuple(found)

    def _note_change(self, database: str, type_: str, before: Collection[str], sharing: _Sharing) -> None:
        """Marks all pools of a type only if what they show of each other changed, and only at the next look."""
        if sharing.least_limits:
            self._least_limits[database][type_] = min(sharing.least_limits.values())
        else:
            self._least_limits[database].pop(type_, None)
        if before != sharing.shown:
            self._changed_types[database].add(type_)
            self._changes.wake(database)


def _place(entry: PoolEntry) -> tuple[object, ...]:
    """All that the index depends on."""
    return entry.ref, entry.database, entry.types, entry.least_limit
