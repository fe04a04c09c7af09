"""Keeps the stored limits of one database's tenants: those of the pools, and those of the view, if there is one.

It works on the reading's connection, between two readings: what a worker may do changes in one transaction, and a view
that is slow is asked less often.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg

from jobtide.database_errors import one_line
from jobtide.schema.limits_view import VIEW_SLOW, ViewTrouble, read_view
from jobtide.sql import load
from jobtide_controller.decide.limits import (
    ALL_TYPES,
    Kept,
    Limit,
    LimitsTrouble,
    PoolLimits,
    Shared,
    paused,
    shared_of,
)
from jobtide_controller.postgres.session import Session

SQL_PACKAGE = "jobtide_controller.postgres.sql"

STATEMENT_SECONDS = 5.0
PLACES_SECONDS = 10.0  # between two looks whether there are tables and a view
VIEW_SECONDS = 0.9  # between two readings of a view that is quick; readings themselves are up to 1 s apart
VIEW_CUT_SECONDS = 2.0  # its server has a timeout of 0.5 s
VIEW_SHARE = 0.02  # of a core, at most
TROUBLE_SECONDS = 5.0  # until the next try
SLOW_SECONDS = 30.0  # the same, of a view that took all its time

NOT_STORED = LimitsTrouble(
    "NotStored",
    "the database has no tables for limits yet, so a change of limits replaces the workers, and weight and until have "
    "no effect: run jobtide schema apply",
)
NOT_ALLOWED = LimitsTrouble(
    "NotStored",
    "the controller's role may not write jobtide_pool_limits and jobtide_tenant_limits, so a change of limits replaces "
    "the workers: run jobtide schema apply --roles",
)


class _Row(NamedTuple):
    pool: str
    tenant: str
    type: str
    limit: Limit


class LimitsKeeper:
    """For the connection's thread. It remembers what it has stored, so that a change alone is written."""

    def __init__(self, session: Session, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._session = session
        self._monotonic = monotonic
        self.kept = Kept()
        self.paused: frozenset[str] = frozenset()
        self._pools: dict[str, PoolLimits] = {}  # that limit any tenant
        self._connection: object = None  # that they were written on
        self._unwritten: dict[str, PoolLimits | None] = {}  # None: the pool is gone
        self._is_shared_known = False
        self._missing = NOT_STORED  # why nothing is stored
        self._view_cost = 0.0  # seconds that it took
        self._places_at = self._view_at = self._try_at = -math.inf

    def keep(self, changed: Iterable[PoolLimits], gone: Sequence[str]) -> Kept:
        """Stores the limits of changed pools, and reads the view when it is time."""
        self._unwritten |= dict.fromkeys(gone)
        self._unwritten |= {one.pool: one for one in changed}
        now = self._monotonic()
        if now >= self._try_at:
            try:
                self._keep(now)
            except (psycopg.Error, OSError) as error:
                self._try_at, self._connection = now + TROUBLE_SECONDS, None
                self.kept = replace(self.kept, trouble=_refused(error))
        return self.kept

    def _keep(self, now: float) -> None:
        connection = self._session.connect()
        if connection is not self._connection:  # it may lead to another server, which must get all of them
            self._unwritten = {**self._pools, **self._unwritten}
            self._connection, self._places_at, self._is_shared_known = connection, -math.inf, False
        if now >= self._places_at:
            (places,) = self._run("limits_places", {})
            self._places_at = now + PLACES_SECONDS
            is_stored, has_view = places["has_tables"] and places["may_write"], places["has_view"]
            self._missing = NOT_ALLOWED if places["has_tables"] else NOT_STORED
            trouble = self.kept.trouble if is_stored and has_view and self.kept.has_view else None
            self.kept = replace(self.kept, is_stored=is_stored, has_view=has_view and is_stored, trouble=trouble)
            if not has_view:
                self._view_at = -math.inf
        if not self.kept.is_stored:
            self.kept = replace(self.kept, trouble=self._missing)
            return
        if not self._is_shared_known:
            self.kept = replace(self.kept, shared=shared_of(self._run("stored_limits", {})))
            self._is_shared_known = True
        self._write()
        if self.kept.has_view and now >= self._view_at:
            self._follow_view()
        elif not self.kept.has_view and self.kept.shared:
            self._store_shared({})

    def _write(self) -> None:
        """Nothing is forgotten until the transaction has committed."""
        waiting = dict(self._unwritten)
        put = [one for one in waiting.values() if one is not None]
        gone = [pool for pool, one in waiting.items() if one is None]
        if put:
            rows = [_Row(one.pool, tenant, ALL_TYPES, limit) for one in put for tenant, limit in one.limits.items()]
            self._store([(one.pool, one.max_concurrent) for one in put], rows)
        if gone:
            self._run("forget_limits", {"pools": gone})
        self._unwritten = {}
        for pool, one in waiting.items():
            self._pools.pop(pool, None)
            if one is not None and (one.limits or one.max_concurrent is not None):
                self._pools[pool] = one
        if waiting:
            self.paused = paused(self._pools.values(), self.kept.shared)

    def _follow_view(self) -> None:
        started = self._monotonic()
        found = self._read_view()
        ended = self._monotonic()
        if isinstance(found, ViewTrouble):
            self.kept = replace(self.kept, trouble=LimitsTrouble(found.reason, found.message))
            self._view_at = ended + (SLOW_SECONDS if found.reason == "ViewSlow" else TROUBLE_SECONDS)
            return
        # One slow answer of a busy machine at most doubles it: a view that is slow is so again.
        self._view_cost = min(ended - started, 2 * max(self._view_cost, VIEW_SECONDS * VIEW_SHARE / 2))
        self._view_at = started + max(VIEW_SECONDS, self._view_cost / VIEW_SHARE)
        if (shared := shared_of(found)) != self.kept.shared:
            self._store_shared(shared)
        self.kept = replace(self.kept, trouble=None)

    def _read_view(self) -> list[dict[str, Any]] | ViewTrouble:
        """A function of the view can catch the server's timeout: then the connection is cut."""
        connection, is_cut = self._session.connect(), threading.Event()

        def cut() -> None:
            is_cut.set()
            self._session.abort()

        timer = threading.Timer(VIEW_CUT_SECONDS, cut)
        timer.daemon = True
        timer.start()
        try:
            return read_view(connection)
        except psycopg.OperationalError:
            if not is_cut.is_set():
                raise
            return VIEW_SLOW
        finally:
            timer.cancel()

    def _store_shared(self, shared: Shared) -> None:
        self._store([("", None)], [_Row("", key.tenant_id, key.type, limit) for key, limit in shared.items()])
        self.kept = replace(self.kept, shared=dict(shared))
        self.paused = paused(self._pools.values(), shared)

    def _store(self, pools: Sequence[tuple[str, int | None]], rows: Sequence[_Row]) -> None:
        self._run(
            "write_limits",
            {
                "pools": [pool for pool, _ in pools],
                "pool_caps": [cap for _, cap in pools],
                "row_pools": [row.pool for row in rows],
                "tenants": [row.tenant for row in rows],
                "types": [row.type for row in rows],
                "caps": [row.limit.max_concurrent for row in rows],
                "weights": [row.limit.weight for row in rows],
                "untils": [row.limit.until for row in rows],
            },
        )

    def _run(self, name: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self._session.run(load(SQL_PACKAGE, name), parameters, timeout_seconds=STATEMENT_SECONDS)


def _refused(error: Exception) -> LimitsTrouble:
    words = one_line(error)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        words = f"{words}: run jobtide schema apply --roles"
    return LimitsTrouble("NotWritten", f"limits could not be stored: {words}")
