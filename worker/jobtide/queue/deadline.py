"""A deadline for each answer of the server: a backend that hangs must not hang the worker's thread."""

from __future__ import annotations

from collections.abc import Callable, Generator
from time import monotonic
from typing import Any

import psycopg


class NoAnswer(psycopg.OperationalError):
    """The deadline has passed."""


def limit_waits(connection: psycopg.Connection[Any], seconds: float, waiting: Callable[[float], object]) -> None:
    """Closes the connection if one answer takes longer than `seconds`; the caller gets NoAnswer.

    The statement may commit all the same. `waiting` is called with time.monotonic() about ten times a second while an
    answer is awaited.
    """
    wait = connection.wait

    def limited(gen: Generator[Any, Any, Any], *arguments: Any, **named: Any) -> Any:
        try:
            return wait(_until(gen, seconds, waiting), *arguments, **named)
        except _Silence:
            connection.close()
            raise NoAnswer(f"the server has not answered a statement for {seconds:g} s") from None

    connection.wait = limited  # type: ignore[method-assign]


class _Silence(Exception):  # noqa: N818
    pass


def _until(
    gen: Generator[Any, Any, Any], seconds: float, waiting: Callable[[float], object]
) -> Generator[Any, Any, Any]:
    """The same generator, which psycopg resumes with 0 while nothing can be read or written."""
    give_up_at = monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready:
                now = monotonic()
                waiting(now)
                if now >= give_up_at:
                    raise _Silence
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value
