"""Handlers that harm their process, beside harmless ones; some run in processes of their own."""

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


def _killer(payload: dict) -> None:
    """Ends its process once its file exists, so that neighbours can be there by then."""
    while "when" in payload and not Path(payload["when"]).exists():
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGKILL)


tide.job("killer", max_attempts=3)(_killer)
tide.job("killer.process", max_attempts=2, process=True)(_killer)


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


@tide.job("stuck", timeout_seconds=0.2, max_attempts=2)
def stuck(payload: dict) -> None:
    while not Path(payload["until"]).exists():
        time.sleep(0.01)


@tide.job("forks")
def forks(payload: dict) -> Any:
    context = multiprocessing.get_context("fork")
    match payload["how"]:
        case "terminate":
            child = context.Process(target=time.sleep, args=(600,))
            child.start()
            child.terminate()
            child.join(20)
            return child.exitcode
        case "pool":
            with context.Pool(2) as pool:
                return pool.map(abs, [-1, -2])
        case "exit" | "raise" | "return" as how:
            pid = os.fork()
            if pid == 0:
                if how == "exit":
                    sys.exit(7)
                if how == "raise":
                    raise ValueError("in the fork")
                return "written by the fork"
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        case "own handler":
            pid = os.fork()
            if pid == 0:
                os._exit(int(signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL))
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
