"""What a worker looks at before its first claim: can this role work on this table at all?"""

from __future__ import annotations

from jobtide.errors import TableUnusable
from jobtide.schema import ProblemKind, check
from jobtide.session import Connection, DatabaseAway


def require_usable_table(connection: Connection) -> None:
    """Raises TableUnusable with every problem and its fix; DatabaseAway on a standby, which may be promoted."""
    fatal = [problem for problem in check(connection) if problem.fatal]
    if any(problem.kind is ProblemKind.STANDBY for problem in fatal):
        raise DatabaseAway("the server is a standby: it can't be written to until it is promoted")
    if fatal:
        raise TableUnusable("; ".join(problem.message for problem in fatal))
