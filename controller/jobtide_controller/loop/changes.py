"""Which pools changed since the last tick of their database, and the loops that wait for a change."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Changes:
    """Marks are cheap and idempotent: a thousand events of one pool between two passes are one mark."""

    def __init__(self) -> None:
        self._dirty: defaultdict[str, set[str]] = defaultdict(set)
        self._news: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def mark(self, database: str, pool_uid: str) -> None:
        self._dirty[database].add(pool_uid)
        self._news[database].set()

    def take(self, database: str) -> set[str]:
        """The pools marked since the last call."""
        self._news[database].clear()
        return self._dirty.pop(database, set())

    def wake(self, database: str) -> None:
        self._news[database].set()

    async def wait(self, database: str, seconds: float) -> None:
        """Returns when a pool of this database is marked, at the latest after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._news[database].wait()
        except TimeoutError:
            return
