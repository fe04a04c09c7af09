"""One connection to one database: statements with a timeout, through any pooler, and a way to cut it off."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import dict_row

from jobtide import __version__
from jobtide.database_errors import connect
from jobtide.queue.refusals import concerns_rows

# Client-side options only: a pooler in transaction mode refuses startup parameters.
CLIENT_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
}

# For this transaction only, so that no setting leaks through a pooler. JIT would take longer than the statement itself.
# Index scans only: under row level security the planner may not use its statistics (comparing enums is not leakproof),
# assumes that a third of the table is pending, and would read all of it.
BEFORE: LiteralString = """
SELECT
    set_config('statement_timeout', %(milliseconds)s, true),
    set_config('array_nulls', 'on', true),
    set_config('row_security', 'on', true),
    set_config('jit', 'off', true),
    set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true),
    current_setting('client_encoding') AS client_encoding
"""

# For what may be lost and repeated: no other client waits for its locks or its commit.
_BACKGROUND: LiteralString = """
SELECT set_config('lock_timeout', %(milliseconds)s, true), set_config('synchronous_commit', 'off', true)
"""


class Session:
    """Belongs to one thread; only `abort` may be called from another."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    def run(
        self,
        statement: LiteralString,
        parameters: Mapping[str, Any],
        *,
        timeout_seconds: float,
        lock_seconds: float | None = None,
    ) -> list[dict[str, Any]]:
        """The rows of one statement in a transaction of its own. An error that is no row's closes the connection.

        `lock_seconds`: how long it waits for a lock; with it, its commit does not wait for the disk.
        """
        connection = self.connect()
        try:
            with connection.transaction():
                before = connection.execute(BEFORE, {"milliseconds": str(int(timeout_seconds * 1000))}).fetchone()
                _require_utf8(before)
                if lock_seconds is not None:
                    connection.execute(_BACKGROUND, {"milliseconds": str(int(lock_seconds * 1000))})
                # In binary no setting of the role or database changes a value: DateStyle, extra_float_digits, ...
                return connection.execute(statement, parameters, binary=True).fetchall()
        except BaseException as error:
            if isinstance(error, psycopg.Error) and concerns_rows(error, connection):
                raise
            # A new connection reaches the new primary, uses the rotated password, and has the new grant.
            self.close()
            raise

    def connect(self) -> psycopg.Connection[dict[str, Any]]:
        """The open connection, or a new one to the current URL."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(
                self._url(),
                autocommit=True,
                row_factory=dict_row,
                # Named statements break behind poolers; a generic plan would not know how few types there are.
                prepare_threshold=None,
                application_name=f"jobtide-controller/{__version__}",
                **CLIENT_OPTIONS,
            )
            self._connection.isolation_level = IsolationLevel.READ_COMMITTED
        return self._connection

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def abort(self) -> None:
        """Cuts the connection that the thread waits for: a server that hangs answers no cancel request either."""
        connection = self._connection
        if connection is None or connection.closed:
            return
        with contextlib.suppress(OSError, psycopg.Error):
            duplicate = socket.socket(fileno=os.dup(connection.fileno()))
            with duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _require_utf8(before: Mapping[str, Any] | None) -> None:
    """Raises NotSupportedError behind a pooler that ignores the startup parameter."""
    encoding = before and before["client_encoding"]
    if encoding != "UTF8":
        raise psycopg.NotSupportedError(
            f"the pooler gave a connection with client_encoding {encoding} although UTF8 was asked for: "
            "ALTER ROLE ... RESET client_encoding"
        )
