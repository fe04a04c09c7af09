"""Handlers that the worker processes under test run."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from jobtide import Context, Fail, Retry, Snooze, Tide

tide = Tide()
empty = Tide()


@tide.job("echo")
def echo(payload: Any) -> Any:
    return payload


@tide.job("note")
def note(payload: dict) -> None:
    """A side effect that a test can count: one line a run."""
    with Path(payload["file"]).open("a") as file:
        file.write(payload["line"] + "\n")


@tide.job("wait")
def wait(payload: dict, ctx: Context) -> str:
    """Runs until its file appears, or until it is cancelled."""
    ctx.progress(0.5, "waiting")
    while not Path(payload["file"]).exists():
        if ctx.wait_cancelled(0.01) and payload.get("heeds", True):
            raise RuntimeError("cancelled")
    return "seen"


@tide.job("async.wait")
async def async_wait(payload: dict) -> str:
    file = Path(payload["file"])
    file.with_suffix(".begun").touch()
    while not file.exists():  # noqa: ASYNC110, ASYNC240 - a file is what a test can make from outside
        await asyncio.sleep(0.01)
    return "seen"


@tide.job("boom", max_attempts=2)
def boom(payload: Any) -> None:
    raise ValueError("boom")


@tide.job("say")
def say(payload: dict) -> None:
    """Ends as the payload requests."""
    match payload["end"]:
        case "fail":
            raise Fail("no use")
        case "retry":
            raise Retry("busy", after=payload["after"])
        case "snooze":
            raise Snooze(payload["after"])
        case "nul":
            raise ValueError("a\x00b")


@tide.job("returns")
def returns(payload: dict) -> Any:
    return {"nan": float("nan"), "set": {1}, "nul": "a\x00b", "large": "x" * 2_000_000, "digits": 10**5_000}[
        payload["what"]
    ]


@tide.job("killer", max_attempts=3)
def killer(payload: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
