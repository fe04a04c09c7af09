"""The tenants of one type that has too many for one reading: read in slices, one a reading, over and over.

What is known of the type is the sum of its slices, each as it was last read: none is older than one lap. The slices of
two laps begin at different tenants, so a new one may cover a part of an old one; the rest of that is estimated until
it is read next.

    known: to c: 500 tenants | to f: 500      new slice: to d: 520      then: to d: 520 | to f: 480, estimated

Beside that all rows of the type are counted every few seconds: the slices only say whose they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Waiting:
    """The waiting rows of one tenant, or of several together. Times are seconds since the epoch."""

    tenants: float = 0
    due: float = 0
    later: float = 0
    oldest_at: float | None = None  # due time of the oldest due row
    mean_at: float | None = None  # of the due rows
    next_due_at: float | None = None
    capped: bool = False  # counting stopped for one of the tenants

    def __add__(self, other: Waiting) -> Waiting:
        return Waiting(
            self.tenants + other.tenants,
            self.due + other.due,
            self.later + other.later,
            _least(self.oldest_at, other.oldest_at),
            _mean(self, other),
            _least(self.next_due_at, other.next_due_at),
            self.capped or other.capped,
        )

    def times(self, part: float) -> Waiting:
        """A part of the rows, of the same ages."""
        return replace(self, tenants=self.tenants * part, due=self.due * part, later=self.later * part)


@dataclass(frozen=True, slots=True)
class Counted:
    """All waiting rows of the type, as last counted, and what happened since."""

    waiting: Waiting
    running: int  # at the last reading
    came: Waiting = Waiting()
    started: int = 0  # at least so many rows since the count

    def after(self, came: Waiting, running: int) -> Counted:
        """After one more reading with these new rows."""
        started = self.started + max(0, running - self.running)
        return replace(self, running=running, came=self.came + came, started=started)

    @property
    def now(self) -> Waiting:
        """What waits: new rows do, and as many as run in addition do so no longer.

        A job that started where another one ended is subtracted by the next count only.

        100 were due and 4 ran; 20 came, and 10 run now: 114 are due.
        """
        return replace(
            self.waiting,
            due=max(0, self.waiting.due + self.came.due - self.started),
            later=self.waiting.later + self.came.later,
            next_due_at=_least(self.waiting.next_due_at, self.came.next_due_at),
        )


@dataclass(frozen=True, slots=True)
class Slice:
    """The tenants up to `until`, from the end of the slice before."""

    until: str | None  # None: the last tenant
    named: Mapping[str, Waiting] = field(default_factory=dict)
    others: Waiting = Waiting()

    @property
    def tenants(self) -> float:
        return self.others.tenants + len(self.named)


@dataclass(frozen=True, slots=True)
class Lap:
    """All slices of one type, in the order of their tenants."""

    slices: tuple[Slice, ...] = ()
    after: str | None = None  # behind this tenant begins the next slice; None: with the first tenant
    complete: bool = False  # every tenant has been read; else the sums are lower bounds
    list_from: int = 0  # tenants with as many rows are named in every slice; 0: the type has no limits
    counted: Counted | None = None
    counted_at: float = -math.inf  # by the controller's monotonic clock
    news: Mapping[str, float] = field(default_factory=dict)  # due rows that came since the tenant's slice was read

    def listed_from(self, least_limit: int) -> Lap:
        """For this lowest limit of a tenant. Slices that may not name a tenant at the limit are read again."""
        if least_limit == self.list_from or (0 < self.list_from <= least_limit):
            return self
        if not least_limit:
            return replace(self, list_from=0, news={})
        return Lap(list_from=least_limit, counted=self.counted, counted_at=self.counted_at)

    def with_slice(self, new: Slice) -> Lap:
        """After the slice behind `after` was read."""
        after = self.after or ""
        before = [old for old in self.slices if old.until is not None and old.until <= after]
        behind = self.slices[len(before) :]
        covered = [old for old in behind if new.until is None or (old.until is not None and old.until <= new.until)]
        rest = behind[len(covered) :]
        if rest:
            left = max(0.0, sum(old.tenants for old in covered) + rest[0].tenants - new.tenants)
            rest = (_part(rest[0], left, after=new.until or ""), *rest[1:])
        return replace(
            self,
            slices=(*before, new, *rest),
            after=new.until,
            complete=self.complete or new.until is None,
            news={
                tenant: due
                for tenant, due in self.news.items()
                if tenant <= after or (new.until is not None and tenant > new.until)
            },
        )

    def with_arrivals(self, arrivals: Mapping[str, Waiting], running: int) -> Lap:
        """After a reading with these new rows, by tenant. Whose they are matters where tenants are limited."""
        counted = self.counted and self.counted.after(sum(arrivals.values(), Waiting()), running)
        if not self.list_from:
            return replace(self, counted=counted)
        news = dict(self.news)
        for tenant, new in arrivals.items():
            news[tenant] = news.get(tenant, 0.0) + new.due
        return replace(self, counted=counted, news=news)

    def total(self) -> tuple[dict[str, Waiting], Waiting]:
        """The named tenants, and the sum of the others."""
        named: dict[str, Waiting] = {}
        others = Waiting()
        for one in self.slices:
            named |= one.named
            others += one.others
        return named, others

    @property
    def tenants(self) -> float:
        """With waiting rows, as far as they have been read."""
        return sum(one.tenants for one in self.slices)


def slice_of(rows: Sequence[Mapping[str, Any]]) -> Slice:
    """The rows of tenant_slice.sql of one type."""
    found = [(row["tenant_id"], waiting_of(row)) for row in rows if row["tenants"]]
    return Slice(
        until=rows[0]["until"],
        named={tenant: waiting for tenant, waiting in found if tenant is not None},
        others=next((waiting for tenant, waiting in found if tenant is None), Waiting()),
    )


def waiting_of(row: Mapping[str, Any]) -> Waiting:
    """One row of tenant_slice.sql or waiting_total.sql."""
    next_due_at = row["next_due_at"]
    return Waiting(
        row["tenants"],
        row["due"],
        row["later"],
        row["oldest_at"],
        row["mean_at"],
        None if next_due_at == float("inf") else next_due_at,  # a row at `infinity` never falls due
        row["capped"],
    )


def _part(old: Slice, tenants: float, *, after: str) -> Slice:
    named = {tenant: waiting for tenant, waiting in old.named.items() if tenant > after}
    others = old.others.times(max(0.0, tenants - len(named)) / old.others.tenants) if old.others.tenants else Waiting()
    return Slice(old.until, named, others if others.tenants else Waiting())


def _least(one: float | None, other: float | None) -> float | None:
    return min((at for at in (one, other) if at is not None), default=None)


def _mean(one: Waiting, other: Waiting) -> float | None:
    parts = [part for part in (one, other) if part.mean_at is not None and part.due]
    return sum((part.mean_at or 0.0) * part.due for part in parts) / sum(part.due for part in parts) if parts else None
