"""Handlers that run past their timeout."""

from __future__ import annotations

import asyncio
from pathlib import Path

from jobtide import Context, Tide

tide = Tide()


@tide.job("plain", timeout_seconds=0.2)
def plain(payload: dict, ctx: Context) -> str:
    waits_for_cancellation(ctx)
    return "saw it"


def waits_for_cancellation(ctx: Context) -> None:
    while not ctx.cancelled:
        ctx.wait_cancelled(0.01)


@tide.job("raises", timeout_seconds=0.2, max_attempts=1)
def raises(payload: dict, ctx: Context) -> None:
    waits_for_cancellation(ctx)
    raise RuntimeError("gave up")


@tide.job("coroutine", timeout_seconds=0.2)
async def coroutine(payload: dict) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        Path(payload["file"]).touch()  # noqa: ASYNC240 - a file is what a test sees from outside
