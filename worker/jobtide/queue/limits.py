"""The limits of tenants as claims keep them: stored ones that the controller writes, or those of the environment.

Stored limits are read by the claim itself, row by row (sql/lock_tenants.sql), so they are as new as the claim. A
worker remembers only which kinds of limits there are: without any a claim pays nothing for them. It looks again after
a second, or, while notifications reach it, when one comes.
See docs/adr/2026-11-29-tenant-limits-at-once.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

from jobtide.queue.caps import NO_CAPS, UNLIMITED, TenantCaps
from jobtide.queue.refusals import RowRefused
from jobtide.queue.session import DatabaseUnreachable, Session
from jobtide.sql import load

LOOK_SECONDS = 1.0  # a change must hold within 2 s
_NOTIFIED_LOOK_SECONDS = 30.0  # where a notification says that limits have changed
_TABLES_LOOK_SECONDS = 30.0  # whether a database has the tables

# On a database without the table: a CTE of its name has the limits of the environment.
_GIVEN: LiteralString = """WITH jobtide_tenant_limits AS MATERIALIZED (
    SELECT
        given.tenant_id, given.max_concurrent, '' AS pool, '' AS type, NULL::int AS weight,
        'infinity'::timestamptz AS until
    FROM
        unnest((SELECT %(override_tenants)s::uuid[]), (SELECT %(override_caps)s::int[]))
            AS given (tenant_id, max_concurrent)
),
"""


@dataclass(frozen=True, slots=True)
class Kinds:
    """Which limits there are."""

    pool: str = ""
    cap: int = UNLIMITED  # of a tenant without one of its own
    has_own: bool = False
    has_shared: bool = False
    has_typed: bool = False
    given: TenantCaps | None = None  # None: they are in the table

    def __bool__(self) -> bool:
        return self.cap != UNLIMITED or self.has_own or self.has_shared or self.has_typed

    def statement(self, name: LiteralString) -> LiteralString:
        """A statement that reads the limits, from wherever they are."""
        text = load("jobtide.sql", name)
        return text if self.given is None else text.replace("WITH lap AS (", _GIVEN + "lap AS (", 1)

    @property
    def parameters(self) -> dict[str, Any]:
        """As `statement` takes them, besides the lap."""
        own = {
            "cap": self.cap,
            "pool": self.pool,
            "has_own": self.has_own,
            "has_shared": self.has_shared,
            "has_typed": self.has_typed,
        }
        return own if self.given is None else own | self.given.parameters


def given(caps: TenantCaps) -> Kinds:
    """The limits of a worker's environment, all of them rows of pool ''."""
    cap = UNLIMITED if caps.max_concurrent is None else caps.max_concurrent
    return Kinds(cap=cap, has_shared=bool(caps.overrides), given=caps)


class Limits:
    """What one worker knows of its limits, over the session of its claims. Times are time.monotonic(), in seconds.

    `pool` is the name under which the controller stores limits; "": this worker belongs to no pool, so it has those of
    all pools, unless its environment has some. None: the environment's alone.
    """

    def __init__(self, session: Session, pool: str | None, caps: TenantCaps = NO_CAPS) -> None:
        self._session = session
        self._pool = None if pool == "" and caps else pool
        self._given = given(caps)
        self.kinds = self._given
        self.hears: Callable[[], bool] = lambda: False  # whether `expire` is called for each change
        self.denied: Callable[[], object] = lambda: None  # called once if the role may not read the tables
        self._is_denied = False
        self._looked_at = -math.inf
        self._connection: object = None  # of the last look
        self._has_tables = False
        self._tables_looked_at = -math.inf

    def expire(self) -> None:
        """Something has changed: the next claim looks."""
        self._looked_at = -math.inf

    def refresh(self, types: tuple[str, ...], now: float) -> None:
        """Looks which limits there are, if that is long enough ago. Raises DatabaseUnreachable."""
        if self._pool is None:
            return
        connection = self._session.connection()
        if connection is not self._connection:  # it may lead to another server
            self._connection, self._looked_at, self._tables_looked_at = connection, -math.inf, -math.inf
        if now - self._looked_at < (_NOTIFIED_LOOK_SECONDS if self.hears() else LOOK_SECONDS):
            return
        try:
            self.kinds = self._look(self._pool, types, now)
        except RowRefused as refusal:  # it changes no row
            raise DatabaseUnreachable(str(refusal)) from None
        self._looked_at = now

    def _look(self, pool: str, types: tuple[str, ...], now: float) -> Kinds:
        if now - self._tables_looked_at >= _TABLES_LOOK_SECONDS:
            (found,) = self._session.execute(load("jobtide.sql", "has_limits"), {})
            self._has_tables, self._tables_looked_at = found["found"] and found["readable"], now
            if found["found"] and not found["readable"] and not self._is_denied:
                self._is_denied = True
                self.denied()
        if not self._has_tables:
            return self._given
        rows = self._session.execute(load("jobtide.sql", "pool_limits"), {"pool": pool})
        stored = kinds_of(pool, {row["pool"]: row for row in rows}, types)
        return self._given if stored is None else stored  # also if the pool has no limits any more


def kinds_of(pool: str, headers: Mapping[str, Mapping[str, Any]], types: tuple[str, ...]) -> Kinds | None:
    """From the rows of jobtide_pool_limits; None if the controller has none for this pool yet."""
    if pool not in headers and pool:
        return None
    own, shared = headers.get(pool) if pool else None, headers.get("")
    cap = None if own is None else own["max_concurrent"]
    shared_types = set() if shared is None else set(shared["types"])
    return Kinds(
        pool=pool,
        cap=UNLIMITED if cap is None else cap,
        has_own=own is not None and bool(own["types"]),
        has_shared="" in shared_types,
        has_typed=not shared_types.isdisjoint(types),
    )
