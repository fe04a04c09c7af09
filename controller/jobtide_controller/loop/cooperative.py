"""Long loops that let other tasks run: probes are answered and the lease is renewed between two batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def yielding_every(number: int, items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items in their order, with a pause before every `number` of them."""
    for index, item in enumerate(items):
        if index % number == 0:
            await asyncio.sleep(0)
        yield item
