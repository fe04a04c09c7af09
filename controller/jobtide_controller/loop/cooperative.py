"""Long loops that let other tasks run: probes are answered and the lease is renewed between two batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def yielding_every(number: int, items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items in their order, with a pause before every `number` of them."""
    for index, item in enumerate(items):
        if index % number == 0:
            await asyncio.sleep(0)
        yield item


class Turns:
    """Such loops of one tick, and how long they held the event loop."""

    def __init__(self, number: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.held_seconds = 0.0
        self._number = number
        self._monotonic = monotonic

    async def of(self, items: Iterable[Item]) -> AsyncIterator[Item]:
        """The items in their order. The caller's work on one may not await anything."""
        async for item in yielding_every(self._number, items):
            began = self._monotonic()
            yield item
            self.held_seconds += self._monotonic() - began
