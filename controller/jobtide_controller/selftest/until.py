"""Waits for a condition of the cluster or the table. The caller limits the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from jobtide_controller.kube.api.client import ApiError

POLL_SECONDS = 0.5

Found = TypeVar("Found")


async def until(look: Callable[[], Awaitable[Found | None]]) -> Found:
    """What `look` returns as soon as it is true. A question that the API server does not answer is asked again."""
    while True:
        try:
            if found := await look():
                return found
        except ApiError as error:
            if error.code != 0:
                raise
        await asyncio.sleep(POLL_SECONDS)
