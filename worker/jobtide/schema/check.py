"""What worker and controller run at start-up: one statement, and what follows from its answer."""

from __future__ import annotations

from typing import Any, cast

from psycopg import Connection
from psycopg.rows import scalar_row

from jobtide.schema.problems import Facts, Part, Problem, use_problems
from jobtide.schema.script import statement


def check(conn: Connection[Any], part: Part = "worker") -> tuple[Problem, ...]:
    """What keeps the connection's role from working as `part`; empty when all is well.

    Reads the catalogs only. Errors of the connection itself are psycopg's and pass through.
    """
    return use_problems(read_facts(conn), part)


def read_facts(conn: Connection[Any]) -> Facts:
    """What the catalogs say about the table, for this role and its search_path."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cast("Facts", cursor.execute(statement("facts")).fetchone())
