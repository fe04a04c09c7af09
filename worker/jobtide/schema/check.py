"""The check that worker and controller run at start: one statement, and the problems that its answer shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from psycopg import Connection
from psycopg.rows import scalar_row, tuple_row

from jobtide.schema.limits_view import LIMITS_PLACES, ViewTrouble, read_view
from jobtide.schema.problems import Facts, Part, Problem, ProblemKind, use_problems
from jobtide.schema.script import statement


def check(conn: Connection[Any], part: Part = "worker") -> tuple[Problem, ...]:
    """The problems of the connection's role in its work as `part`; empty if there are none.

    Reads the catalogs only. Raises psycopg.Error if the connection breaks.
    """
    return use_problems(read_facts(conn), part)


def read_facts(conn: Connection[Any]) -> Facts:
    """The facts about the table in the catalogs, for this role and its search_path."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        # One message, so one transaction, also behind a pooler. The first setting would quote the names in the facts,
        # the second would end the look, which takes some 20 ms, where it is that short.
        cursor.execute(
            "SELECT set_config('quote_all_identifiers', 'off', true), set_config('statement_timeout', '10s', true);\n"
            + statement("facts"),
            prepare=False,
        )
        cursor.nextset()
        return cast("Facts", cursor.fetchone())


def limits_problems(conn: Connection[Any], part: Part) -> Iterator[Problem]:
    """What keeps limits of tenants from changing at once. Never fatal: the last known ones hold."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        found = cursor.execute(LIMITS_PLACES, {"writes": part == "controller"}).fetchone()
    assert found is not None
    has_tables, is_granted, has_view = found
    if not has_tables:
        yield Problem(
            ProblemKind.LIMITS_NOT_STORED,
            "tables jobtide_pool_limits and jobtide_tenant_limits are missing, so limits of tenants are in the "
            "workers' environment, and a change replaces workers: jobtide schema apply adds them",
            fatal=False,
        )
    elif not is_granted:
        verb = "write" if part == "controller" else "read"
        yield Problem(
            ProblemKind.LIMITS_NOT_STORED,
            f"the role may not {verb} jobtide_pool_limits and jobtide_tenant_limits: jobtide schema apply --roles, and "
            f"GRANT jobtide_{part} to the role",
            fatal=False,
        )
    elif part == "controller" and has_view and isinstance(trouble := read_view(conn), ViewTrouble):
        yield Problem(ProblemKind.LIMITS_VIEW_UNUSABLE, trouble.message, fatal=False)
