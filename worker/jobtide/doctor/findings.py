"""What the doctor found, as values: one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import psycopg

from jobtide.database_errors import one_line
from jobtide.errors import JobtideError
from jobtide.schema.problems import Problem

Level = Literal["ok", "note", "warning", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. The text of what is not well says what to do."""

    check: str
    level: Level
    text: str


Check = Callable[[], Iterable[Finding]]


def guarded(name: str, check: Check) -> Iterator[Finding]:
    """What the check finds; an error in it is a finding too, so that it hides no other check."""
    try:
        yield from check()
    except (psycopg.Error, OSError, JobtideError) as error:
        yield Finding(name, "error", f"could not be checked: {one_line(error)}")
    except Exception as error:  # noqa: BLE001 - an answer that was not foreseen, of a server that is no PostgreSQL
        yield Finding(
            name, "error", f"could not be checked, please report it: {type(error).__name__}: {one_line(error)}"
        )


def of_problems(name: str, problems: Iterable[Problem], well: str) -> Iterator[Finding]:
    """A line for each problem; without any, the one that says so."""
    found = [Finding(name, "error" if one.fatal else "warning", one.message) for one in problems]
    yield from found or [Finding(name, "ok", well)]
