"""LISTEN as a hint: NOTIFY from a producer wakes idle workers at once, and one from an operator makes them look at
claims that were cancelled. Polls and extensions of leases do not depend on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from time import monotonic
from uuid import UUID

import psycopg

from jobtide.queue.outage import Outage
from jobtide.queue.session import DatabaseUnreachable, Session
from jobtide.telemetry.events import Emit, ListenIgnored


class Listener:
    """A daemon thread with a connection of its own, directly to the server: poolers drop LISTEN."""

    def __init__(
        self,
        session: Session,
        types: Collection[str],
        wake: Callable[[], object],
        look_at: Callable[[Collection[UUID]], object],
        emit: Emit,
    ) -> None:
        """`look_at` is called with the ids of jobs that were cancelled while they ran, here or elsewhere."""
        self._session = session
        self._types = frozenset(types)
        self._wake = wake
        self._look_at = look_at
        self._emit = emit
        self._outage = Outage("listen for notifications", emit)

    def start(self) -> None:
        threading.Thread(target=self.run, name="jobtide-listen", daemon=True).start()

    def run(self) -> None:
        """Runs until the process ends; behind a pooler it returns at once."""
        never = threading.Event()
        while True:
            try:
                self._listen()
            except (psycopg.Error, DatabaseUnreachable) as error:
                self._session.close()
                never.wait(self._outage.failed(error, monotonic()))
            else:
                return

    def _listen(self) -> None:
        """Returns only behind a pooler; raises psycopg.Error or DatabaseUnreachable when the connection ends."""
        connection = self._session.connection()
        if connection.prepare_threshold is None:
            self._session.close()
            self._emit(ListenIgnored())
            return
        connection.execute("LISTEN jobtide_cancelled")
        connection.execute("LISTEN jobtide")
        self._outage.succeeded()
        self._wake()  # for jobs that came before this LISTEN
        for notice in connection.notifies():
            if notice.channel == "jobtide_cancelled":
                self._look_at(_ids(notice.payload))
            elif not notice.payload or notice.payload in self._types:
                self._wake()


def _ids(payload: str) -> frozenset[UUID]:
    """Every role may notify: what is no id is left out."""
    found = set()
    for text in payload.split():
        with suppress(ValueError):
            found.add(UUID(text))
    return frozenset(found)
