"""Every statement lives in a file of its own, so that psql -f, EXPLAIN and blame work on it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import LiteralString


@cache
def load(package: str, name: str) -> LiteralString:
    """The statement in `<package>/<name>.sql`, without its comment lines, which only readers need.

    psycopg takes a statement apart anew at each execution when it has more than 4,096 characters.
    """
    return "\n".join(line for line in read(package, name).splitlines() if not line.lstrip().startswith("--"))


@cache
def read(package: str, name: str) -> LiteralString:
    """The whole file.

    Raises FileNotFoundError for a name that is no file. This is the one place that vouches for a statement's text:
    the files are ours, and nothing is ever formatted into them.
    """
    return files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
