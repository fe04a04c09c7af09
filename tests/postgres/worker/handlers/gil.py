"""Handlers that hold the interpreter, or wait beside one that does."""

from __future__ import annotations

import time

from jobtide import Tide

tide = Tide()


@tide.job("hold")
def hold(payload: dict) -> str:
    """One expression without a bytecode between its first second and its last: nothing else can run."""
    until = time.monotonic() + payload["seconds"]
    next(filter(until.__lt__, iter(time.monotonic, None)))
    return "held"


@tide.job("echo")
def echo(payload: object) -> object:
    return payload
