"""Tells an outage from a refusal that concerns rows, and isolates the rows that the server refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg

Item = TypeVar("Item")

# Without a context: the statement itself can't work here, whatever its rows are. 0A is also "cached plan must not
# change result type", which a new connection mends; 531 is a full disk; 55P03 is then a lock on the whole table.
_OF_THE_STATEMENT = ("08", "0A", "0B", "25", "26", "28", "3D", "3F", "42", "531", "533", "55", "57", "58", "F0")
# May pass without a change of the row: locks, timeouts, deadlocks, memory, missing objects, bugs of the server.
_PASSING = ("40", "42", "53", "55", "57", "0A", "25", "3F", "XX000")
_LOCK = "55P03"  # lock_not_available
_CANCELED = "57014"  # statement_timeout, or pg_cancel_backend


class RowRefused(Exception):  # noqa: N818 - a state of a row
    """The server refused the statement because of a row or a value in it. Nothing changed; the connection works."""

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate

    @property
    def may_pass(self) -> bool:
        """True if the same statement may succeed later: the row has done nothing wrong."""
        return (self.sqlstate or "").startswith(_PASSING)

    @property
    def is_lock(self) -> bool:
        """True if a row, or something that a trigger needs, is locked."""
        return self.sqlstate == _LOCK

    @property
    def cause(self) -> tuple[str | None, str]:
        """Equal for refusals of one kind."""
        return self.sqlstate, str(self)


LOCKED = RowRefused("another transaction holds a lock on the row", _LOCK)


def concerns_rows(error: psycopg.Error, connection: psycopg.Connection[object] | None) -> bool:
    """False if the connection or the server is gone, or if the statement can't work for any row.

    A context means that a trigger, a constraint's function or a cast raised the error while it worked on a row.
    """
    if connection is None or connection.closed or error.diag.severity_nonlocalized in {"FATAL", "PANIC"}:
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.DataError)  # a value that can't be sent
    if error.sqlstate == _CANCELED or error.diag.context:
        return True
    return not error.sqlstate.startswith(_OF_THE_STATEMENT)


def isolate(
    items: Sequence[Item],
    act: Callable[[Sequence[Item]], object],
    refused: Callable[[Item, RowRefused], object],
) -> None:
    """Calls `act` with all items; if that is refused, with each half, down to `refused` for a single item.

    k refused items of n cost about 2k log2(n) calls.
    """
    try:
        act(items)
    except RowRefused as refusal:
        if len(items) == 1:
            refused(items[0], refusal)
            return
        middle = len(items) // 2
        isolate(items[:middle], act, refused)
        isolate(items[middle:], act, refused)
