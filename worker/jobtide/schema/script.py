"""The SQL files in their order: `apply` runs and `print` shows the same text."""

from __future__ import annotations

import re
from typing import LiteralString

from jobtide.sql import read

TABLE_FILES = ("10_roles", "20_auth", "30_tenants_users", "40_job_queue")
# Also on a table that existed before; the walls change nothing there unless TENANT_WALLS comes first.
ALWAYS_FILES = ("50_safe_functions", "60_tenant_walls", "65_tenant_limits")
TENANT_WALLS: LiteralString = "SET LOCAL jobtide.tenant_walls = 'on';\n"
WAKE_FILE = "70_wake"
WAKE_TRIGGER = "jobtide_wake"
LIMITS_VIEW_EXAMPLE = "example_limits_view"  # printed, never applied: it reads columns of your own
ROLES_FILE = "90_least_privilege"
INDEXES = (
    "idx_job_queue_tenant_id",
    "idx_job_queue_status_created_at",
    "idx_job_queue_type",
    "idx_job_queue_due",
    "idx_job_queue_running",
)

DEFAULT_LOCK_TIMEOUT_SECONDS = 5.0


def statement(name: str) -> LiteralString:
    """The text of `sql/<name>.sql`."""
    return read("jobtide.schema", f"sql/{name}")


def index_file(name: str, *, concurrently: bool) -> LiteralString:
    """The text that creates one index; without CONCURRENTLY it may run in a transaction."""
    text = statement(f"indexes/{name}")
    if concurrently:
        return text
    text = text.replace(" CONCURRENTLY", "")
    # The header names the lock of the other form.
    return text.replace("-- Lock: SHARE UPDATE EXCLUSIVE: reads and writes go on", "-- Lock: SHARE: writes wait")


def index_statement(name: str) -> str:
    """CREATE INDEX CONCURRENTLY on one line, for messages."""
    lines = statement(f"indexes/{name}").splitlines()
    return re.sub(r"\s+", " ", " ".join(line for line in lines if not line.startswith("--"))).strip()


def script(*, roles: bool = False, in_transaction: bool = False, tenant_walls: bool = False, wake: bool = True) -> str:
    """All SQL in order, for review and for `psql -f`. A second run changes nothing.

    `wake`: with the trigger by which an INSERT wakes idle workers.

    Indexes are built CONCURRENTLY after the commit. `in_transaction` is for migration tools that wrap a file in their
    own transaction, where that is not possible: writes wait while the indexes of a full table are built.
    """
    files = [
        *(statement(name) for name in TABLE_FILES),
        *([TENANT_WALLS] if tenant_walls else []),
        *(statement(name) for name in ALWAYS_FILES),
        *([statement(WAKE_FILE)] if wake else []),
    ]
    least_privilege = [statement(ROLES_FILE)] if roles else []
    indexes = [_guarded_index(name, concurrently=not in_transaction) for name in INDEXES]
    timeout = f"SET LOCAL lock_timeout = '{DEFAULT_LOCK_TIMEOUT_SECONDS:g}s';\n"
    if in_transaction:
        return "\n".join([timeout, *files, *indexes, *least_privilege])
    return "\n".join(["BEGIN;", timeout, *files, *least_privilege, "COMMIT;\n", *indexes])


def _guarded_index(name: str, *, concurrently: bool) -> str:
    """Drops an invalid index first: IF NOT EXISTS would accept the remains of an interrupted build."""
    form = "drop_invalid_concurrently" if concurrently else "drop_invalid"
    return statement(form).replace("INDEX_NAME", name) + index_file(name, concurrently=concurrently)
