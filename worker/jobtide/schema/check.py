"""The check that worker and controller run at start: one statement, and the problems that its answer shows."""

from __future__ import annotations

from typing import Any, cast

from psycopg import Connection
from psycopg.rows import scalar_row

from jobtide.schema.problems import Facts, Part, Problem, use_problems
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
