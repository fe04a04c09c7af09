"""Long loops that let others go on meanwhile: probes are answered and the lease is renewed between two turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def yielding_every(items: Iterable[Item], at_once: int) -> AsyncIterator[Item]:
    """One after the other, with a pause before every `at_once` of them."""
    for number, item in enumerate(items):
        if number % at_once == 0:
            await asyncio.sleep(0)
        yield item
