"""Pure: the depths of one reading, summed by type, by tenant, and by pool."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from jobtide_controller.api.spec import Tenants
from jobtide_controller.decide.need import oldest_due
from jobtide_controller.decide.reading import OTHERS, Depth, Key, Reading


@dataclass(slots=True)
class Total:
    """Jobs of several keys together. It is added to, and not changed once it is handed out."""

    waiting: int = 0  # due now
    later: int = 0  # scheduled, or backing off
    running: int = 0
    oldest_seconds: float | None = None  # of the due jobs; None: none is due
    capped: bool = False  # counting stopped: waiting and later are lower bounds

    def add(self, depth: Depth) -> None:
        self.waiting += depth.due
        self.later += depth.later
        self.running += depth.running
        self.capped = self.capped or depth.capped
        if depth.due:
            self.oldest_seconds = max(self.oldest_seconds or 0.0, depth.oldest_age_seconds)

    def add_total(self, other: Total) -> None:
        """Adds jobs that are already summed."""
        self.waiting += other.waiting
        self.later += other.later
        self.running += other.running
        self.capped = self.capped or other.capped
        if other.oldest_seconds is not None:
            self.oldest_seconds = max(self.oldest_seconds or 0.0, other.oldest_seconds)

    @property
    def depth(self) -> int:
        """What a chart of the backlog shows: all that waits, also for its time."""
        return self.waiting + self.later


NO_JOBS = Total()


@dataclass(frozen=True, slots=True)
class Depths:
    """One reading by type. Tenants are summed when a caller asks for them: there may be many."""

    reading: Reading
    by_type: Mapping[str, Total]
    _keys: Mapping[str, list[tuple[Key, Depth]]]  # by type

    def of_types(self, types: Iterable[str]) -> Total:
        """The jobs of these types together."""
        known = [found for type_ in types if (found := self.by_type.get(type_)) is not None]
        if len(known) <= 1:
            return known[0] if known else NO_JOBS
        total = Total()
        for found in known:
            total.add_total(found)
        return total

    def of_pool(self, types: Iterable[str], tenants: Tenants) -> Total:
        """The same of one pool. Jobs of paused tenants have no age: they miss no promise, as in the pool's status."""
        types = tuple(types)
        total = self.of_types(types)
        if total.oldest_seconds is None or not tenants.has_pause:
            return total
        pairs = (pair for type_ in types for pair in self._keys.get(type_, ()))
        return replace(total, oldest_seconds=oldest_due(tenants, pairs))

    def by_tenant(self, types: Iterable[str]) -> dict[str, Total]:
        """The jobs of these types by tenant, as far as tenants are named."""
        found = self._summed(types, lambda key: key.tenant_id)
        found.pop(OTHERS, None)
        return found

    def unnamed_tenants(self, types: Iterable[str]) -> int:
        """How many tenants wait that by_tenant does not have; those of two types may be the same."""
        others = [self.reading.depths.get(Key(type_, OTHERS)) for type_ in types]
        return max((depth.tenants for depth in others if depth is not None), default=0)

    def of_tenant(self, tenant: str, types: Collection[str]) -> dict[str, Total]:
        """One tenant's jobs of these types, by type. Of a type with unnamed tenants it is at least that."""
        found: dict[str, Total] = {}
        for type_ in types:
            for key, depth in self._keys.get(type_, ()):
                if key.tenant_id == tenant:
                    found.setdefault(type_, Total()).add(depth)
                elif key.tenant_id == OTHERS:
                    found.setdefault(type_, Total()).capped = True
        return found

    def _summed(self, types: Iterable[str], name_of: Callable[[Key], str]) -> dict[str, Total]:
        found: dict[str, Total] = {}
        for type_ in types:
            for key, depth in self._keys.get(type_, ()):
                name = name_of(key)
                total = found.get(name)
                if total is None:
                    total = found[name] = Total()
                total.add(depth)
        return found


def depths_of(reading: Reading) -> Depths:
    """Sums a reading by type, in one pass over its keys."""
    keys: dict[str, list[tuple[Key, Depth]]] = {}
    totals: dict[str, Total] = {}
    for pair in reading.depths.items():
        key, depth = pair
        total = totals.get(key.type)
        if total is None:
            total, keys[key.type] = totals.setdefault(key.type, Total()), []
        total.add(depth)
        keys[key.type].append(pair)
    return Depths(reading, totals, keys)
