"""Looks at the health of job_queue, over a connection of its own that lasts for one look."""

from __future__ import annotations

from jobtide.sql import load
from jobtide.table_health import TableHealth, health_of
from jobtide_controller.postgres.session import Session

STATEMENT_SECONDS = 2.0
LOCK_SECONDS = 0.5  # someone rewrites the table: the next look may find it free


def look(session: Session) -> TableHealth:
    """Raises psycopg.Error; LookupError without a table."""
    try:
        rows = session.run(
            load("jobtide.schema", "sql/table_health"),
            {},
            timeout_seconds=STATEMENT_SECONDS,
            lock_seconds=LOCK_SECONDS,
        )
    finally:
        session.close()
    if not rows:
        raise LookupError("there is no table job_queue")
    return health_of(rows[0])
