"""One connection that reconnects. Any use may raise DatabaseUnreachable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from jobtide.payload import read_json
from jobtide.queue.arrays import ArrayDumper
from jobtide.queue.deadline import NoAnswer, limit_waits
from jobtide.queue.refusals import RowRefused, concerns_rows

Connection = psycopg.Connection[dict[str, Any]]
Execute = Callable[[LiteralString, Mapping[str, Any]], list[dict[str, Any]]]

# Client-side options only: a pooler in transaction mode refuses startup parameters. A peer that disappears without
# closing its connection is noticed in about 25 seconds.
_CLIENT_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_LONGEST_ANSWER_SECONDS = 45.0  # below the minute after which /livez fails


class DatabaseUnreachable(Exception):  # noqa: N818 - a state, handled by waiting
    """The statement got no answer, or an error that is not about its data. It may have committed."""


class Session:
    """Runs statements, each in its own transaction. For one thread.

    A statement without an answer for `answer_seconds` ends the connection; the next one waits twice as long, since the
    statement may just be slow. `waiting` is called while an answer is awaited, see limit_waits.
    """

    def __init__(
        self,
        database_url: Callable[[], str],
        on_connect: Callable[[Connection], None] | None = None,
        *,
        answer_seconds: float = math.inf,
        waiting: Callable[[float], object] = lambda now: None,  # noqa: ARG005
    ) -> None:
        self._database_url = database_url
        self._on_connect = on_connect
        self._answer_seconds = answer_seconds
        self._waiting = waiting
        self._connection: Connection | None = None

    def execute(self, statement: LiteralString, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rows that the statement returns. Raises DatabaseUnreachable or RowRefused."""
        with self._errors_translated():
            return self.connection().execute(statement, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        """Several statements in one transaction; each sees what was committed before it began."""
        with self._errors_translated():
            connection = self.connection()
            with connection.transaction():
                yield lambda statement, parameters: connection.execute(statement, parameters).fetchall()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Inside a transaction: undoes its own part if that is refused. Raises RowRefused; the transaction goes on."""
        connection = self.connection()
        try:
            with connection.transaction():
                yield
        except psycopg.Error as error:
            if concerns_rows(error, connection):
                raise RowRefused(one_line(error), error.sqlstate) from None
            raise

    def connection(self) -> Connection:
        """The live connection; connects if there is none. Raises DatabaseUnreachable, or what on_connect raises."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            if concerns_rows(error, self._connection):
                raise RowRefused(one_line(error), error.sqlstate) from None
            if isinstance(error, NoAnswer):
                self._answer_seconds = min(2 * self._answer_seconds, _LONGEST_ANSWER_SECONDS)
            # Even if the connection survives: a new one finds a new primary or a rotated password.
            self.close()
            raise DatabaseUnreachable(one_line(error)) from None

    def _connect(self) -> Connection:
        self._waiting(monotonic() + _CLIENT_OPTIONS["connect_timeout"])  # psycopg does not call it while it connects
        try:
            connection = psycopg.connect(
                self._database_url(),
                autocommit=True,
                row_factory=dict_row,
                prepare_threshold=None,
                **_CLIENT_OPTIONS,
            )
            limit_waits(connection, self._answer_seconds, self._waiting)
            connection.adapters.register_dumper(list, ArrayDumper)
            set_json_loads(read_json, connection)
            if _is_direct(connection):
                connection.prepare_threshold = 0
        except (psycopg.Error, OSError) as refused:
            raise DatabaseUnreachable(one_line(refused)) from None
        if self._on_connect is not None:
            try:
                self._on_connect(connection)
            except psycopg.Error as broken:
                connection.close()
                raise DatabaseUnreachable(one_line(broken)) from None
            except Exception:
                connection.close()
                raise
        return connection


def _is_direct(connection: Connection) -> bool:
    """True if no pooler stands between: a pooler announces a backend process ID that is not the server's.

    Behind a pooler statements are never prepared: in transaction mode a prepared statement stays on a server
    connection that the next transaction may not get.
    """
    row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
    return row is not None and row["pid"] == connection.info.backend_pid


def url_source(url: str | None, file: Path | None) -> Callable[[], str]:
    """A function that reads the database URL at each connect: a mounted Secret may change at any time."""

    def read() -> str:
        if file is not None:
            return file.read_text(encoding="utf-8").strip()
        assert url is not None
        return url

    return read


def one_line(error: BaseException) -> str:
    """The message in one line, or the type of the error if it has none. libpq never puts a password into it."""
    return " ".join(str(error).split()) or type(error).__name__
