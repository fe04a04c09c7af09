"""Looks at the health of one database's table, beside the ticks and seldom: for /metrics and the pools' condition."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable

from jobtide.table_health import TableHealth, Verdict, judge
from jobtide_controller.decide.table_health import LOOK_SECONDS
from jobtide_controller.loop.ports import LookFailedError, Source
from jobtide_controller.loop.term import DatabaseState
from jobtide_controller.telemetry.events import Emit, Failed, TableJudged


class TableWatch:
    """`look()` is one look. What a term remembers is in the database's state."""

    def __init__(self, source: Source, emit: Emit, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._emit = emit
        self._monotonic = monotonic
        self._looking: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._looking is not None and not self._looking.done()

    def start_if_due(self, state: DatabaseState, is_current: Callable[[], bool]) -> None:
        """Begins a look if it is time. What it finds is dropped when `is_current()` is false: the term is over."""
        if self.is_running or self._monotonic() < state.table.next_at:
            return
        state.table.next_at = self._monotonic() + LOOK_SECONDS
        self._looking = asyncio.create_task(self._guarded(state, is_current), name=f"table {self._source.name}")

    def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def look(self, state: DatabaseState, is_current: Callable[[], bool]) -> None:
        """A verdict that lasts wakes every pool: its status shows it."""
        health: TableHealth | None = None
        try:
            health = state.table.ages.aged(await self._source.look_at_table(), self._monotonic())
            found = judge(health)
        except LookFailedError as error:
            found = Verdict("NotReadable", f"the health of the table can't be read: {error}")
        if not is_current():
            return
        known, before = state.table, state.table.shown.verdict
        known.health, known.shown = health, known.shown.after(found)
        now = known.shown.verdict
        if now is None or now == before:
            return
        for pool in state.pools.values():
            pool.is_idle = False
        if (before is None and now.reason != "Healthy") or (before is not None and before.reason != now.reason):
            self._emit(TableJudged(self._source.name, now.reason, now.message))

    async def _guarded(self, state: DatabaseState, is_current: Callable[[], bool]) -> None:
        try:
            await self.look(state, is_current)
        except Exception:  # noqa: BLE001 - emitted with its traceback, and counted
            self._emit(Failed(f"looking at the table of database {self._source.name}", traceback.format_exc()))
