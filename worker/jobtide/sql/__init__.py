"""Loads SQL. Every statement has its own file, so that psql -f, EXPLAIN and git blame work on it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import LiteralString


@cache
def load(package: str, name: str) -> LiteralString:
    """The statement in `<package>/<name>.sql`, without its comment lines and indentation.

    psycopg parses a statement with more than 4,096 characters again at each execution.
    """
    return "\n".join(line for line in map(str.strip, read(package, name).splitlines()) if not line.startswith("--"))


@cache
def read(package: str, name: str) -> LiteralString:
    """The whole file.

    Raises FileNotFoundError if there is none. LiteralString is true here alone by promise: the files are part of the
    package, and no value is ever formatted into them.
    """
    return files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
