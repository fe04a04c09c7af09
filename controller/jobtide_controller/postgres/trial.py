"""Tries the controller's own statements for `jobtide doctor`, in a transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg

from jobtide.database_errors import one_line
from jobtide.schema import Problem, ProblemKind
from jobtide_controller.decide.limits import Limit, PoolLimits
from jobtide_controller.decide.reading import Unreadable
from jobtide_controller.decide.retention import Batch
from jobtide_controller.postgres.limits import LimitsKeeper
from jobtide_controller.postgres.readings import Limits, Reader
from jobtide_controller.postgres.rescue import rescue
from jobtide_controller.postgres.retention import delete_ended
from jobtide_controller.postgres.session import Session
from jobtide_controller.postgres.table_health import look

_TYPE = "jobtide.trial"
_AGES_AGO_SECONDS = 1_000_000_000

Connection = psycopg.Connection[dict[str, Any]]


def try_out(connection: Connection) -> tuple[Problem, ...]:
    """The problems of the controller's statements, for the role of this connection, which must be in autocommit mode.

    Raises psycopg.Error if the connection breaks.
    """
    with connection.transaction(force_rollback=True):
        return tuple(_problems(connection))


class _TrialSession(Session):
    """Runs everything in the trial's transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(str)
        self._connection = connection

    def connect(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def close(self) -> None: ...


class _NoUrls:
    def url(self, name: str) -> str:  # noqa: ARG002 - the port's
        return ""


def _problems(connection: Connection) -> Iterator[Problem]:
    session = _TrialSession(connection)
    steps: tuple[tuple[str, bool, Callable[[], object]], ...] = (
        ("a reading", True, lambda: _read(session)),
        ("the rescue of a lost job", True, lambda: rescue(session, {str(uuid4()): True})),
        ("the deletion of ended jobs (spec.retention)", False, lambda: _delete(session)),
        ("the storing of a tenant's limit", False, lambda: _keep_limit(session)),
        ("a look at the health of the table", False, lambda: look(session)),
    )
    for what, fatal, act in steps:
        try:
            with connection.transaction():
                act()
        except psycopg.Error as error:
            if connection.closed:
                raise
            advice = ""
            if isinstance(error, psycopg.errors.InsufficientPrivilege) and " pg_" not in one_line(error):
                advice = ": run jobtide schema apply --roles, and GRANT jobtide_controller to the role"
            words = f"the server refused {what}: {one_line(error)}{advice}"
            yield Problem(ProblemKind.WRITE_REFUSED, words, fatal=fatal)


def _read(session: Session) -> None:
    reader = Reader("trial", _NoUrls(), Limits())
    reader.session = session
    if isinstance(found := reader.read([_TYPE]), Unreadable):
        raise psycopg.DataError(found.message)


def _delete(session: Session) -> None:
    """Of rows that are older than PostgreSQL: none, and the right is needed all the same."""
    delete_ended(session, Batch("completed", {_TYPE: _AGES_AGO_SECONDS}, None, 1, 1))


def _keep_limit(session: Session) -> None:
    """Missing tables and a wrong view are found by the check."""
    kept = LimitsKeeper(session).keep([PoolLimits("jobtide/trial", None, {str(uuid4()): Limit(1)})], [])
    if kept.trouble is not None and kept.trouble.reason == "NotWritten":
        raise psycopg.DataError(kept.trouble.message)
