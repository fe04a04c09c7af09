"""The reading's connection while there are no jobs: it holds the locks that every INSERT tries, and listens.

As the worker's jobtide.queue.rest, but it is notified of every INSERT of its types, also of jobs that are due later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psycopg

from jobtide.queue.rest import hashed
from jobtide.sql import load

_AGAIN_SECONDS = 30.0  # between two looks whether an INSERT can wake this connection

Connection = psycopg.Connection[dict[str, Any]]


class Hearing:
    """For the connection's thread; only `is_on`, `has_notices` and `descriptor` may be used from another."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._listening: Connection | None = None
        self._connection: Connection | None = None  # that holds the locks
        self._types: tuple[str, ...] = ()
        self._notices = 0
        self._try_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether an INSERT of these types notifies this connection."""
        return self._connection is not None and not self._connection.closed

    @property
    def has_notices(self) -> bool:
        """Whether one has been received that `take` has not seen yet."""
        return self._notices > 0

    def descriptor(self) -> int | None:
        """A duplicate, which the caller closes. It becomes readable when something arrives."""
        connection = self._connection
        try:
            return None if connection is None or connection.closed else os.dup(connection.fileno())
        except (psycopg.Error, OSError):  # its thread has closed it since
            return None

    def begin(self, connection: Connection, types: Sequence[str]) -> None:
        """Call it before a reading: what was inserted before is in the reading, what comes later notifies.

        Without the right to a function, behind a pooler or without the trigger it stays off.
        """
        wanted = tuple(types)
        if self.is_on and self._connection is connection and self._types == wanted:
            return
        now = self._monotonic()
        if now < self._try_at and self._types == wanted:
            return
        self._types = wanted
        try:
            self.end()
            if not self._begin(connection, hashed(wanted)):
                self._try_at = now + _AGAIN_SECONDS
        except psycopg.Error:
            with suppress(psycopg.Error):  # some locks may be held
                self.end()
            self._try_at = now + _AGAIN_SECONDS

    def end(self) -> None:
        """Gives the locks back. Raises psycopg.Error."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock_all()")

    def take(self) -> bool:
        """Whether a notification has arrived since the last call."""
        connection = self._connection
        if connection is None or connection.closed:
            return True
        connection.pgconn.consume_input()
        while connection.pgconn.notifies() is not None:
            self._notices += 1
        notices, self._notices = self._notices, 0
        return notices > 0

    def _begin(self, connection: Connection, hashes: Sequence[str]) -> bool:
        row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
        if row is None or row["pid"] != connection.info.backend_pid:  # a pooler, which drops LISTEN
            return False
        if self._listening is not connection:
            connection.execute("LISTEN jobtide")
            connection.add_notify_handler(self._count)
            self._listening = connection
        self._connection = connection
        answer = connection.execute(
            load("jobtide.sql", "rest"), {"hashed": list(hashes), "watches": True}, binary=True
        ).fetchone()
        if answer is None or not (answer["can_wake"] and answer["rests"]):
            self.end()
            return False
        return True

    def _count(self, _notice: object) -> None:
        self._notices += 1
