"""Handlers that fork, and one that does not stop at its timeout."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from jobtide import Tide

tide = Tide()


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
        case "signals":
            return _actions_in_a_fork()


def _actions_in_a_fork() -> list[str]:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        term, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        os.write(theirs, f"{getattr(term, 'name', term)} {getattr(interrupt, '__name__', interrupt)}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return os.read(ours, 100).decode().split()


@tide.job("echo")
def echo(payload: Any) -> Any:
    return payload
