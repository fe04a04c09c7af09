"""Checks, before the first claim, that this role can work on this table, and whether an index is missing.

The first connection also tries a job's whole way, in a transaction that is rolled back: a table that silently ignores
ends would make every job run until its attempts are used up.
"""

from __future__ import annotations

from jobtide.errors import TableUnusable
from jobtide.queue.session import Connection, DatabaseUnreachable
from jobtide.queue.trial import try_out
from jobtide.schema import ProblemKind, check
from jobtide.telemetry.events import Emit, TableSlow


class TableCheck:
    """Called with each new connection: it may lead to another server than the one before."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._reported: set[str] = set()
        self._tried = False

    def __call__(self, connection: Connection) -> None:
        """Raises TableUnusable with all problems and fixes; DatabaseUnreachable on a standby, which may be promoted."""
        problems = check(connection)
        fatal = [problem for problem in problems if problem.fatal]
        if any(problem.kind is ProblemKind.STANDBY for problem in fatal):
            raise DatabaseUnreachable("the server is a standby: it can't be written to until it is promoted")
        if not fatal and not self._tried:
            fatal = [problem for problem in try_out(connection) if problem.fatal]
            self._tried = True
        if fatal:
            raise TableUnusable("; ".join(problem.message for problem in fatal))
        for problem in problems:
            if problem.kind is ProblemKind.INDEX_MISSING and problem.message not in self._reported:
                self._reported.add(problem.message)
                self._emit(TableSlow(problem.message))
