"""A connection while nothing is due: it holds the locks that every INSERT tries, and listens.

The order: locks and LISTEN, then one look for due jobs, then the wait. A job that was committed before the look is
found by it; an INSERT after the locks notifies. One that ran before the locks and commits after the look is found by
the next poll. See docs/adr/2026-11-29-an-insert-wakes-an-idle-worker.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

import psycopg

from jobtide.queue.refusals import RowRefused
from jobtide.queue.session import Connection, DatabaseUnreachable, Session
from jobtide.sql import load

MOST_HASHED = 16
"""Types that have a lock of their own: the server has memory for about 64 locks a connection."""

_AGAIN_SECONDS = 30.0  # between two tries, where the table has no trigger or the role lacks a right


def hashed(types: Sequence[str]) -> list[str]:
    """The types to take a lock for; none: the one for all types."""
    return list(types) if len(types) <= MOST_HASHED else []


class Rest:
    """For the thread of the session."""

    def __init__(self, session: Session, types: Sequence[str], *, changed: Callable[[], object] = lambda: None) -> None:
        """`changed` is called for each notification that is no INSERT's: limits of tenants may have changed."""
        self._session = session
        self._changed = changed
        self._types = tuple(types)
        self._listening: Connection | None = None
        self._resting: Connection | None = None
        self._has_risen = False  # an INSERT may still name this session: it chose before the locks were given back
        self._called = False  # an INSERT has named this session since the last look
        self._news = False  # the same, since the last `hear`
        self._try_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether an INSERT wakes this session."""
        return self._resting is not None and not self._resting.closed

    @property
    def listens(self) -> bool:
        """Whether the session's connection gets notifications, also while it does not rest."""
        return self._listening is not None and not self._listening.closed

    @property
    def descriptor(self) -> int | None:
        """Becomes readable when a notification arrives. To be read at all times: the server keeps what is not."""
        if self._listening is None or self._listening.closed:
            return None
        return self._listening.fileno()

    def begin(self) -> bool:
        """Rests, if an INSERT can wake this session. True: look once more for due jobs, and only then wait.

        An error is no outage: the next claim tells, and without a wake-up there are polls.
        """
        if monotonic() < self._try_at:
            return False
        try:
            return self._begin(self._session.connection())
        except (psycopg.Error, DatabaseUnreachable, RowRefused):
            self._session.close()
            self._try_at = monotonic() + _AGAIN_SECONDS
            return False

    def _begin(self, connection: Connection) -> bool:
        if connection.prepare_threshold is None:  # behind a pooler, which drops LISTEN
            return False
        self._listen(connection)
        hashes = hashed(self._types)
        (answer,) = self._session.execute(load("jobtide.sql", "rest"), {"hashed": hashes, "watches": not hashes})
        if not (answer["can_wake"] and answer["rests"]):
            self._give_back(passes_on=False)
            self._try_at = 0.0 if answer["can_wake"] else monotonic() + _AGAIN_SECONDS
            return False
        self._resting = connection
        return True

    def end(self, *, passes_on: bool) -> None:
        """Rests no longer: no place is free. Others are woken if jobs may be left, or if an INSERT named this one."""
        if self.is_on:
            self.hear()
        called, self._called, self._news = self._called, False, False
        if self.is_on or (called and self._has_risen):
            self._give_back(passes_on=passes_on or called)  # what arrives during it is for the next call
            self._has_risen = True

    def looks(self) -> None:
        """Call it before each look for due jobs: what was received until then is answered by it."""
        self._called = self._news = False
        self._has_risen = False

    def hear(self) -> bool:
        """Takes the notifications that have arrived. True, once: look for due jobs. So for an ended connection."""
        connection = self._listening
        if connection is None or connection.closed:
            return True
        try:
            connection.pgconn.consume_input()
            while (notice := connection.pgconn.notifies()) is not None:
                self._take(connection, notice.relname.decode(), notice.extra.decode(errors="replace"))
        except psycopg.Error:
            self._session.close()
            return True
        news, self._news = self._news, False
        return news

    def _listen(self, connection: Connection) -> None:
        if self._listening is connection:
            return
        connection.execute("LISTEN jobtide")
        # Those that arrive during a statement.
        connection.add_notify_handler(lambda notice: self._take(connection, notice.channel, notice.payload))
        self._listening = connection
        self._changed()  # of what changed before there was no notification

    def _take(self, connection: Connection, channel: str, payload: str) -> None:
        """A payload names server processes, or a type, or nothing: then it is for all."""
        if channel == "jobtide" and (
            not payload or payload in self._types or str(connection.info.backend_pid) in payload.split()
        ):
            self._called = self._news = True
        if channel == "jobtide" and (not payload or payload in self._types):
            self._changed()

    def _give_back(self, *, passes_on: bool) -> None:
        self._resting = None
        try:
            self._session.execute(load("jobtide.sql", "rise"), {"types": list(self._types), "passes_on": passes_on})
        except (RowRefused, DatabaseUnreachable):  # no outage, as above; without the connection the locks are gone too
            self._session.close()
            self._try_at = monotonic() + _AGAIN_SECONDS
