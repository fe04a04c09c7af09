"""One connection that reconnects. Any use may raise DatabaseUnreachable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, LiteralString

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from jobtide._version import __version__
from jobtide.database_errors import DatabaseUrlWrong, checked_url, connect, one_line, url_of_file
from jobtide.payload import read_json
from jobtide.queue.arrays import ArrayDumper
from jobtide.queue.deadline import NoAnswer, limit_waits
from jobtide.queue.moments import MomentLoader
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
    # Poolers know this one. It tells an operator, and the doctor, which versions are at work.
    "fallback_application_name": f"jobtide-worker/{__version__}",
}
_LONGEST_ANSWER_SECONDS = 45.0  # below the minute after which /livez fails


# Settings that change what our statements mean, and the values that they are written for. Values go to the server as
# ISO 8601 and come back in binary, so that DateStyle, TimeZone, extra_float_digits and the like need no pin.
_PINNED = {
    "array_nulls": "on",  # off: NULL in an array is the text "NULL"
    "row_security": "on",  # off: an error instead of the rows that a policy shows
    "default_transaction_isolation": "read committed",  # else SKIP LOCKED raises serialization errors
}
# The planner estimates from the live rows that ANALYZE has seen: of an almost empty queue none. Under an old snapshot
# it then reads every dead row through the seed's index on status, and sorts, where idx_job_queue_due has the order; and
# a plan from when the table was new reads all of it, until the next ANALYZE. "off": only if there is no other way.
_PLANNER = {"enable_seqscan": "off", "enable_sort": "off", "enable_incremental_sort": "off", "jit": "off"}
_ABOUT_SESSION: LiteralString = """
SELECT
    pg_backend_pid() AS pid,
    pg_is_in_recovery() AS in_recovery,
    current_setting('transaction_read_only')::bool AS read_only,
    current_setting('client_encoding') AS client_encoding,
    ARRAY(
        SELECT pinned.name
        FROM unnest(%(names)s::text[], %(values)s::text[]) AS pinned (name, value)
        WHERE current_setting(pinned.name) <> pinned.value
    ) AS different
"""
_PIN: LiteralString = """
SELECT set_config(pinned.name, pinned.value, %(is_local)s::bool)
FROM unnest(%(names)s::text[], %(values)s::text[]) AS pinned (name, value)
"""
_PINS = {"names": list(_PINNED), "values": list(_PINNED.values())}
_PINS_OF_A_SESSION = {"names": [*_PINNED, *_PLANNER], "values": [*_PINNED.values(), *_PLANNER.values()]}


class DatabaseUnreachable(Exception):  # noqa: N818 - a state, handled by waiting
    """The statement got no answer, or an error that is not about its data. It may have committed."""

    state = "unreachable"  # in a log line, after "database"


class DatabaseReadOnly(DatabaseUnreachable):
    """The server answers, and accepts no writes."""

    state = "read-only"


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
        self._pins_each_transaction = False  # behind a pooler, if the role's or the database's settings need it

    def execute(self, statement: LiteralString, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rows that the statement returns. Raises DatabaseUnreachable or RowRefused."""
        with self._errors_translated():
            connection = self.connection()
            if self._pins_each_transaction:
                with self._pinned_transaction(connection):
                    return connection.execute(statement, parameters, binary=True).fetchall()
            return connection.execute(statement, parameters, binary=True).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        """Several statements in one transaction; each sees what was committed before it began."""
        with self._errors_translated():
            connection = self.connection()
            with self._pinned_transaction(connection):
                yield lambda statement, parameters: connection.execute(statement, parameters, binary=True).fetchall()

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

    @contextmanager
    def _pinned_transaction(self, connection: Connection) -> Iterator[None]:
        with connection.transaction():
            if self._pins_each_transaction:
                connection.execute(_PIN, {**_PINS, "is_local": True})
            yield

    def _connect(self) -> Connection:
        self._waiting(monotonic() + _CLIENT_OPTIONS["connect_timeout"])  # psycopg does not call it while it connects
        try:
            connection: Connection = connect(
                self._database_url(),
                autocommit=True,
                row_factory=dict_row,
                prepare_threshold=None,
                **_CLIENT_OPTIONS,
            )
            limit_waits(connection, self._answer_seconds, self._waiting)
        except (psycopg.Error, OSError, DatabaseUrlWrong) as refused:
            raise DatabaseUnreachable(one_line(refused)) from None
        try:
            self._set_up(connection)
            if self._on_connect is not None:
                self._on_connect(connection)
        except psycopg.Error as broken:
            connection.close()
            raise DatabaseUnreachable(one_line(broken)) from None
        except Exception:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: Connection) -> None:
        """Adapters and settings of a new connection. Raises DatabaseUnreachable for one that can't be worked with.

        A pooler announces a backend process ID that is not the server's. Behind it statements are never prepared, and
        settings last for one transaction: the next may get another server connection.
        """
        connection.adapters.register_dumper(list, ArrayDumper)
        connection.adapters.register_loader("timestamptz", MomentLoader)
        set_json_loads(read_json, connection)
        connection.isolation_level = IsolationLevel.READ_COMMITTED
        about = connection.execute(_ABOUT_SESSION, _PINS, binary=True).fetchone()
        assert about is not None
        if about["in_recovery"]:
            raise DatabaseReadOnly("the server is a standby: it can't be written to until it is promoted")
        if about["read_only"]:
            raise DatabaseReadOnly(
                "the session is read-only: default_transaction_read_only is on for this role, database or server. "
                "Some providers set it when the disk is full"
            )
        if about["client_encoding"] != "UTF8":
            raise DatabaseUnreachable(
                f"the pooler gave a connection with client_encoding {about['client_encoding']} although UTF8 was asked "
                "for, which would store wrong characters: ALTER ROLE ... RESET client_encoding"
            )
        is_direct = about["pid"] == connection.info.backend_pid
        self._pins_each_transaction = bool(about["different"]) and not is_direct
        if is_direct:
            connection.execute(_PIN, {**_PINS_OF_A_SESSION, "is_local": False})
            connection.prepare_threshold = 0


def url_source(url: str | None, file: Path | None) -> Callable[[], str]:
    """A function that reads the database URL at each connect: a mounted Secret may change at any time.

    It raises DatabaseUrlWrong for text that is no URL, and OSError if there is no file.
    """

    def read() -> str:
        if file is not None:
            return url_of_file(file, f"JOBTIDE_DATABASE_URL_FILE={file}")
        assert url is not None
        return checked_url(url, "JOBTIDE_DATABASE_URL")

    return read
