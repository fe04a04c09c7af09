"""Handlers that run in processes of their own, and what they can do there."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from jobtide import Context, Fail, Retry, Snooze, Tide

tide = Tide()
_leak: list[bytes] = []
_jobs_here = itertools.count(1)


@tide.job("killer", max_attempts=2, process=True)
def killer(payload: dict) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@tide.job("process", process=True, max_attempts=2, timeout_seconds=20)
def in_process(payload: dict, ctx: Context) -> Any:
    about = {"pid": os.getpid(), "payload": payload, "attempt": ctx.attempt, "tenant": str(ctx.tenant_id)}
    return _ENDS[payload["end"]](about)


def _raise(error: Exception) -> None:
    raise error


def _fork(_: dict) -> int:
    if os.fork() == 0:
        sys.exit(5)
    return os.waitstatus_to_exitcode(os.wait()[1])


_ENDS = {
    "return": lambda about: about,
    "raise": lambda _: _raise(ValueError("böse")),
    "retry": lambda _: _raise(Retry("busy", after=600)),
    "snooze": lambda _: _raise(Snooze(600)),
    "fail": lambda _: _raise(Fail("no use")),
    "exit": lambda _: sys.exit(3),
    "leave": lambda _: os._exit(4),
    "segfault": lambda _: ctypes.string_at(0),
    "set": lambda _: {1},
    "large": lambda _: "x" * 2_000_000,
    "fork": _fork,
}


@tide.job("process.async", process=True, timeout_seconds=0.3, max_attempts=1)
async def async_in_process(payload: dict) -> Any:
    if payload.get("forever"):
        await asyncio.Event().wait()
    return os.getpid()


@tide.job("recycled", process=True, recycle_after=2)
def recycled(payload: dict) -> dict:
    return {"pid": os.getpid(), "jobs": next(_jobs_here)}


@tide.job("limited", process=True, memory_bytes=300_000_000, max_attempts=1)
def limited(payload: dict) -> int:
    if payload.get("leak"):
        while True:
            _leak.append(b"x" * 10_000_000)
    return os.getpid()


@tide.job("heeds", process=True, timeout_seconds=0.3, max_attempts=1)
def heeds(payload: dict, ctx: Context) -> str:
    while not ctx.wait_cancelled(0.01):
        pass
    return f"stopped by {ctx.cancelled_by}"


@tide.job("endless", process=True, timeout_seconds=0.3, max_attempts=1)
def endless(payload: dict) -> None:
    """As bytecode, or as one C call that holds the interpreter."""
    Path(payload["pid"]).write_text(str(os.getpid()))
    never = 1e12
    test = (lambda now: now > never) if payload["python"] else never.__lt__
    next(filter(test, iter(time.monotonic, None)))


@tide.job("endless.untimed", process=True)
def endless_untimed(payload: dict, ctx: Context) -> None:
    ctx.progress(0.25, "on the way")
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    Path(payload["pid"]).write_text(f"{os.getpid()}\n{child.pid}")
    time.sleep(600)
