"""A handler that kills its process, one that kills the worker from any process, and harmless ones beside them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from jobtide import Context, Tide

tide = Tide()


@tide.job("killer", max_attempts=3)
def killer(payload: dict) -> None:
    """Ends its process once its file exists, so that neighbours can be there by then."""
    while "when" in payload and not Path(payload["when"]).exists():
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGKILL)


@tide.job("harmless", max_attempts=1)
def harmless(payload: dict, ctx: Context) -> dict:
    """Says where it ran, and runs until its file exists."""
    ctx.progress(0.5)
    with Path(payload["begun"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    while "until" in payload and not Path(payload["until"]).exists():
        ctx.wait_cancelled(0.005)
        if ctx.cancelled:
            raise RuntimeError("cancelled")
    return {"pid": os.getpid()}


@tide.job("harmless.async", max_attempts=1)
async def harmless_async(payload: dict) -> dict:
    with Path(payload["begun"]).open("a") as file:  # noqa: ASYNC230 - a file is what a test sees from outside
        file.write(f"{os.getpid()}\n")
    while not Path(payload["until"]).exists():  # noqa: ASYNC110, ASYNC240 - as above
        await asyncio.sleep(0.005)
    return {"pid": os.getpid()}


@tide.job("kills.worker", max_attempts=3)
def kills_worker(payload: dict) -> None:
    """From any process, as a container whose memory is used up and that loses all its processes.

    Its first run waits until three neighbours run, its second until they run again.
    """
    runs, begun = Path(payload["runs"]), Path(payload["begun"])
    with runs.open("a") as file:
        file.write("run\n")
    expected = 3 * min(2, len(runs.read_text().split()))
    while len(begun.read_text().split() if begun.exists() else []) < expected:
        time.sleep(0.005)
    in_child = b"jobtide.commands.child" in Path("/proc/self/cmdline").read_bytes()
    os.kill(os.getppid() if in_child else os.getpid(), signal.SIGKILL)
    time.sleep(600)


@tide.job("returns nothing")
def returns_nothing(payload: dict) -> None: ...
