"""Where the next claim starts, so that every tenant with due jobs is served.

The ring is the set of keys (type, tenant), ordered by the worker's types and then by tenant. A claim walks one lap
from the cursor; the key that it serves last moves the cursor. Only values are here: sql/claim.sql does the walk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self
from uuid import UUID

_LAST = (1 << 128) - 1


class Mark(NamedTuple):
    """A position in the order of one key's rows."""

    due_at: datetime
    id: UUID


class Range(NamedTuple):
    """Tenants `first` to `last` of one type, inclusive, as integers; of the first only rows from `since` on."""

    type: str
    first: int
    last: int
    since: Mark | None = None


Key = tuple[str, int]  # a type, and a tenant as an integer: a UUID takes ten times as long to hash
Lap = tuple[Range, ...]  # visited in this order


@dataclass(frozen=True, slots=True)
class Ring:
    """A cursor between two keys: the next lap starts at `tenant` (as an integer) of `types[at]`."""

    types: tuple[str, ...]
    at: int = 0
    tenant: int = 0
    counted: tuple[str, ...] = ()  # other types of the pool: a tenant's limit counts their running jobs too

    @property
    def of_pool(self) -> tuple[str, ...]:
        """All types whose running jobs count."""
        return (*self.types, *self.counted)

    def lap(self) -> Lap:
        """One full round: the rest of this type, the other types whole, then the start of this type."""
        others = self.types[self.at + 1 :] + self.types[: self.at]
        tail, start = Range(self.types[self.at], self.tenant, _LAST), Range(self.types[self.at], 0, self.tenant - 1)
        return (tail, *(Range(name, 0, _LAST) for name in others), *((start,) if self.tenant > 0 else ()))

    def after(self, key: Key) -> Self:
        """The cursor just behind the key that was served last."""
        type_, tenant = key
        at = self.types.index(type_)
        if tenant == _LAST:
            return type(self)(self.types, (at + 1) % len(self.types), 0, self.counted)
        return type(self)(self.types, at, tenant + 1, self.counted)

    def at_key(self, key: Key) -> Self:
        """The cursor just before a key."""
        type_, tenant = key
        return type(self)(self.types, self.types.index(type_), tenant, self.counted)


def rows_per_key(wanted: int, keys_served: int) -> int:
    """How many rows one key may give in the next claim, so that the keys that wait share a batch.

    Worked: 50 wanted and 25 tenants served last time: 2 each. One tenant alone: all 50.
    """
    return max(1, -(-wanted // max(1, keys_served)))
