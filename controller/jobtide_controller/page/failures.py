"""Failed jobs of the last hour: one reading of a database for all viewers, and none while no one looks at tenants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from jobtide.operate.read import Failures, recent_failures
from jobtide_controller.page.desk import Desk

EVERY_SECONDS = 30.0
PATIENCE_SECONDS = 1.0  # of a viewer for a reading that takes long: the other numbers are known without it


@dataclass(frozen=True, slots=True)
class _Begun:
    at: float
    task: asyncio.Task[Failures | None]
    before: Failures | None


class RecentFailures:
    """Belongs to the page's event loop."""

    def __init__(self, desk: Desk, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._monotonic = monotonic
        self._begun: dict[str, _Begun] = {}  # by database

    async def of(self, database: str) -> Failures | None:
        """None: no operator's URL, or no answer; the next question to the database is due after EVERY_SECONDS."""
        if database not in self._desk.databases():
            return None
        begun = self._begun.get(database)
        now = self._monotonic()
        if begun is None or (begun.task.done() and now - begun.at >= EVERY_SECONDS):
            # Shown while the next reading runs, unless no one has looked for long.
            is_recent = begun is not None and now - begun.at < 2 * EVERY_SECONDS
            before = begun.task.result() if begun is not None and is_recent and not begun.task.exception() else None
            begun = self._begun[database] = _Begun(now, asyncio.create_task(self._read(database)), before)
        await asyncio.wait({begun.task}, timeout=PATIENCE_SECONDS)
        return begun.task.result() if begun.task.done() else begun.before

    async def _read(self, database: str) -> Failures | None:
        try:
            return await self._desk.ask(database, recent_failures)
        except web.HTTPException:  # the jobs' own screen says why
            return None
