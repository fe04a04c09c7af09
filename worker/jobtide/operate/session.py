"""The connection of an operator, and how a statement runs on it: bounded in time, in a transaction of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import dict_row

from jobtide.database_errors import connect
from jobtide.errors import JobtideError
from jobtide.sql import load

Connection = psycopg.Connection[Any]

SECONDS = 2.0
"""The longest time for one statement, unless the caller says otherwise. On 5 million finished rows in memory each takes
less than 0.3 s (docs/jobs.md)."""


class TooSlow(JobtideError):  # noqa: N818 - a state of the server
    """The server did not answer in time. Nothing was changed by this statement; the message says what narrows it."""


class Locked(TooSlow):
    """Another transaction holds a lock for longer than the statement waits. Nothing was changed by this statement."""


def operator_connection(url: str, **options: Any) -> Connection:
    """A connection in autocommit for the functions of this package, also behind a pooler in transaction mode.

    `options` are psycopg's. Raises DatabaseUrlWrong, psycopg.Error, or OSError.
    """
    connection = connect(url, autocommit=True, prepare_threshold=None, application_name="jobtide jobs", **options)
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    return connection


def rows(
    connection: Connection,
    name: str,
    parameters: Mapping[str, Any],
    *,
    seconds: float = SECONDS,
    writes: bool = False,
    lock_seconds: float | None = None,
    package: str = "jobtide.operate",
) -> list[dict[str, Any]]:
    """The rows of `sql/<name>.sql` of `package`, in a transaction of its own. Raises TooSlow, Locked, psycopg.Error.

    `lock_seconds`: how long it waits for a lock; None: as long as for everything else.
    """
    settings = {
        "milliseconds": _milliseconds(seconds),
        "lock_milliseconds": _milliseconds(seconds if lock_seconds is None else lock_seconds),
        "reads_only": not writes,
    }
    try:
        with connection.transaction(), connection.cursor(binary=True, row_factory=dict_row) as cursor:
            cursor.execute(load("jobtide.operate", "sql/settings"), settings)
            return cursor.execute(load(package, f"sql/{name}"), parameters).fetchall()
    except psycopg.errors.LockNotAvailable:
        raise Locked(
            "another transaction holds a lock on these jobs or on the table: try again when it has ended"
        ) from None
    except psycopg.errors.QueryCanceled:
        raise TooSlow(
            f"no answer from the database in {seconds:g} s: name more of --tenant, --type, --status, --since, --until"
        ) from None


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1_000)))
