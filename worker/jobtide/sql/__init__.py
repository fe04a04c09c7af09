"""Every statement lives in a file of its own, so that psql -f, EXPLAIN and blame work on it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import LiteralString, cast


@cache
def load(package: str, name: str) -> LiteralString:
    """The statement in `<package>/<name>.sql`.

    Raises FileNotFoundError for a name that is no file. The cast is the one place that vouches for its
    text: these files are ours and nothing is ever formatted into them.
    """
    text = files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return cast("LiteralString", text)
