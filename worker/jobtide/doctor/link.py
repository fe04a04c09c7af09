"""The doctor's connection: every answer has a deadline, and it is made again once if it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from jobtide.database_errors import connect
from jobtide.queue.deadline import limit_waits

_CONNECT_SECONDS = 5
_CONNECTS = 2  # a check that a hanging server ends must not end the others
_BOUNDS: LiteralString = "SELECT set_config('lock_timeout', '2s', true), set_config('statement_timeout', '9s', true)"

Connection = psycopg.Connection[dict[str, Any]]


class Link:
    """To the database of one URL."""

    def __init__(self, url: str, answer_seconds: float) -> None:
        self.url = url
        self.answer_seconds = answer_seconds
        self._open: Connection | None = None
        self._connects = 0

    def connection(self) -> Connection:
        """In autocommit mode. Raises psycopg.Error, OSError, DatabaseUrlWrong."""
        if self._open is None or self._open.closed:
            if self._connects >= _CONNECTS:
                raise psycopg.OperationalError("the server has cut the connection, or did not answer, twice")
            self._connects += 1
            self._open = connect(
                self.url,
                autocommit=True,
                row_factory=dict_row,
                prepare_threshold=None,
                connect_timeout=conninfo_to_dict(self.url).get("connect_timeout", _CONNECT_SECONDS),
                fallback_application_name="jobtide doctor",
            )
            self._open.isolation_level = IsolationLevel.READ_COMMITTED
            limit_waits(self._open, self.answer_seconds, lambda _now: None)
        return self._open

    @contextmanager
    def bounded(self) -> Iterator[Connection]:
        """A transaction that waits for no lock for long: someone may rewrite the table."""
        connection = self.connection()
        with connection.transaction():
            connection.execute(_BOUNDS)
            yield connection

    def row(self, query: LiteralString) -> dict[str, Any]:
        """The one row of a statement about the table, bounded."""
        with self.bounded() as connection:
            row = connection.execute(query).fetchone()
        if row is None:
            raise psycopg.DataError("the server gave no answer where there is always one row")
        return row

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
