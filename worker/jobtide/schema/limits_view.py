"""Reads the view job_tenant_limits, which a user defines over any data: with a bound of rows and of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from jobtide.database_errors import one_line

VIEW_SECONDS = 0.5
VIEW_ROWS = 10_000
TYPE_CHARACTERS = 200  # as in spec.types
_WORDS_CHARACTERS = 500  # of an error, which a function of the view may have written
RANGES = {"max_concurrent": (0, 100_000), "weight": (1, 100)}

# No seqscan settings of ours: the plan is the user's. What a function of the view would write is refused. One that
# catches the timeout ends with its client; a server on Windows can't see that the client is gone.
_BEFORE: LiteralString = """
SELECT
    CASE
        WHEN version() !~* 'windows|visual c|mingw' THEN set_config('client_connection_check_interval', '500', true)
    END,
    set_config('statement_timeout', %(milliseconds)s, true),
    set_config('lock_timeout', %(milliseconds)s, true),
    set_config('row_security', 'on', true),
    set_config('transaction_read_only', 'on', true)
"""
_READ: LiteralString = """
SELECT
    v.tenant_id::uuid AS tenant_id, left(v.type::text, 201) AS type, v.max_concurrent::bigint AS max_concurrent,
    v.weight::bigint AS weight, date_part('epoch', v.until::timestamptz) AS until
FROM job_tenant_limits AS v
LIMIT %(most)s::bigint
"""
# Whether there are tables, whether the role has its rights on them, whether there is a view.
LIMITS_PLACES: LiteralString = """
SELECT
    count(*) = 2,
    coalesce(bool_and(
        has_table_privilege(named.oid, 'SELECT')
        AND (NOT %(writes)s::bool OR (
            has_table_privilege(named.oid, 'INSERT') AND has_table_privilege(named.oid, 'UPDATE')
            AND has_table_privilege(named.oid, 'DELETE')
        ))
    ), false),
    to_regclass('job_tenant_limits') IS NOT NULL
FROM unnest(ARRAY[to_regclass('jobtide_pool_limits'), to_regclass('jobtide_tenant_limits')]) AS named (oid)
WHERE named.oid IS NOT NULL
"""
_COLUMNS = "tenant_id uuid, type text, max_concurrent integer, weight integer, until timestamptz"


@dataclass(frozen=True, slots=True)
class ViewTrouble:
    """Why the view can't be used; the message says what to do."""

    reason: str
    message: str


VIEW_SLOW = ViewTrouble(
    "ViewSlow",
    f"view job_tenant_limits did not answer within {VIEW_SECONDS:g} s; it is read about once a second, so give it an "
    "index, or make it a table that you keep",
)


def read_view(connection: psycopg.Connection[Any]) -> list[dict[str, Any]] | ViewTrouble:
    """The view's rows, or why there are none to use. Raises psycopg.Error if the connection breaks."""
    try:
        with connection.transaction(), connection.cursor(row_factory=dict_row, binary=True) as cursor:
            cursor.execute(_BEFORE, {"milliseconds": str(int(VIEW_SECONDS * 1000))})
            rows = cursor.execute(_READ, {"most": VIEW_ROWS + 1}).fetchall()
            raise psycopg.Rollback  # a setting that a function of the view has changed would hold for the session
    except psycopg.Error as error:
        if connection.closed:
            raise
        return _trouble(error)
    if len(rows) > VIEW_ROWS:
        return ViewTrouble(
            "ViewTooLarge",
            f"view job_tenant_limits has more than {VIEW_ROWS:,} rows; leave out the tenants that it does not limit",
        )
    wrong = next(_wrong(rows), None)
    return rows if wrong is None else ViewTrouble("ViewWrong", f"view job_tenant_limits: {wrong}")


def _wrong(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One bad row is a bad view: to leave the row out could lift a limit."""
    seen = set()
    for row in rows:
        tenant = row["tenant_id"]
        if tenant is None:
            yield "a row has tenant_id NULL; each row names one tenant"
        for column, (least, most) in RANGES.items():
            value = row[column]
            if value is not None and not least <= value <= most:
                yield f"{column} is {value} for tenant {tenant}; use {least} to {most}, or NULL for no limit"
        if len(row["type"] or "") > TYPE_CHARACTERS:
            yield f"type has more than {TYPE_CHARACTERS} characters for tenant {tenant}; no type of a pool is longer"
        if row["type"] == "":
            yield f"type is empty for tenant {tenant}; use NULL for all types"
        if (key := (tenant, row["type"])) in seen:
            yield f"tenant {tenant} has two rows for the same type; give each tenant and type one row"
        seen.add(key)


def _trouble(error: psycopg.Error) -> ViewTrouble:
    words = one_line(error)[:_WORDS_CHARACTERS]
    if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
        return VIEW_SLOW
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return ViewTrouble(
            "ViewNotAllowed",
            f"view job_tenant_limits: {words}: GRANT SELECT ON job_tenant_limits TO jobtide_controller; the view "
            "reads its tables with its owner's rights, unless it has security_invoker",
        )
    return ViewTrouble("ViewWrong", f"view job_tenant_limits: {words}; it needs {_COLUMNS}")
