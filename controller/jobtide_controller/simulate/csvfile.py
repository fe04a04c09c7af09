"""Reads a trace from a CSV file: arrived_at, service_seconds; optional type, tenant and due_at."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from jobtide_controller.simulate import policy
from jobtide_controller.simulate.trace import Job, Trace

REQUIRED = ("arrived_at", "service_seconds")
OPTIONAL = ("type", "tenant", "due_at")

DAY_SECONDS = 86_400
TRACE_DAYS_MAX = 366  # a week takes about 20 s of one core for each law
JOB_DAYS_MAX = 31  # of one job's service time, and from its arrival until it is due
MILLISECONDS_FROM = 1e11  # as seconds since 1970 this is the year 5138; as milliseconds, 1973

_TYPES_CHECKED = 64  # a pool can't name more
_SHOWN = 60  # characters of a cell in a message


class TraceError(Exception):
    """No trace can be made from the input; the message says why."""


def read(path: Path) -> Trace:
    """Reads the file. Raises TraceError with the line, the column and the value that can't be used."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            jobs = _jobs(csv.DictReader(lines), path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"can't read the trace {path}: {error}") from error
    if not jobs:
        raise TraceError(f"{path} has no jobs: write one per line below the header {','.join(REQUIRED)}")
    return from_epoch(path.stem, jobs)


def from_epoch(name: str, jobs: Iterable[Job]) -> Trace:
    """A trace that starts with the first of these jobs; they may be in any order, with times since any epoch.

    Windows by the clock take them as times since 1970.
    """
    ordered = sorted(jobs, key=lambda job: job.created_at)
    start = ordered[0].created_at
    return Trace(name, tuple(_shifted(job, start) for job in ordered), began_at=start)


def _shifted(job: Job, start: float) -> Job:
    due_at = None if job.due_at is None else job.due_at - start
    return Job(job.created_at - start, job.service_seconds, job.type, job.tenant_id, due_at)


def _jobs(rows: csv.DictReader[str], path: Path) -> list[Job]:
    names = list(rows.fieldnames or ())
    if not {*REQUIRED} <= {*names} <= {*REQUIRED, *OPTIONAL} or len({*names}) < len(names):
        raise TraceError(
            f"{path}, line 1: the columns are {', '.join(map(_shown, names)) or 'missing'}: write {','.join(REQUIRED)} "
            f"and, where they matter, {','.join(OPTIONAL)}; rename or remove all others"
        )
    jobs: list[Job] = []
    cells = _Cells()
    for row in rows:
        try:
            jobs.append(cells.job(row))
        except ValueError as error:
            raise TraceError(f"{path}, line {rows.line_num}, {error}") from error
    return jobs


class _Cells:
    """Reads the rows of one file, which must agree in how they write times."""

    def __init__(self) -> None:
        self._has_dates: bool | None = None  # or numbers; unknown before the first row
        self._first_at, self._last_at = math.inf, -math.inf
        self._types: set[str] = set()

    def job(self, row: Mapping[str | None, str | list[str] | None]) -> Job:
        """Raises ValueError with the column, the value and what is expected."""
        cells = {name: _text(name, value) for name, value in row.items()}
        created_at = self._arrived_at(cells["arrived_at"])
        return Job(
            created_at=created_at,
            service_seconds=_service_seconds(cells["service_seconds"]),
            type=self._type(cells.get("type") or "job"),
            tenant_id=cells.get("tenant") or "t1",
            due_at=self._due_at(cells.get("due_at"), created_at),
        )

    def _arrived_at(self, text: str) -> float:
        at = self._moment("arrived_at", text)
        self._first_at, self._last_at = min(self._first_at, at), max(self._last_at, at)
        if self._last_at - self._first_at > TRACE_DAYS_MAX * DAY_SECONDS:
            raise _wrong("arrived_at", text, f"write jobs that arrive within {TRACE_DAYS_MAX} days of each other")
        return at

    def _due_at(self, text: str | None, created_at: float) -> float | None:
        if not text:
            return None
        at = self._moment("due_at", text)
        if abs(at - created_at) > JOB_DAYS_MAX * DAY_SECONDS:
            raise _wrong("due_at", text, f"write a time within {JOB_DAYS_MAX} days of arrived_at, on the same clock")
        return at

    def _moment(self, name: str, text: str) -> float:
        """A number of seconds, or an ISO date and time; without a time zone it is UTC."""
        at, is_date = _number(text), False
        if at is None:
            at, is_date = _date(text), True
        if at is None or not math.isfinite(at):
            raise _wrong(name, text, "write a number of seconds, or a date and time such as 2026-11-24T10:00:00Z")
        if not is_date and abs(at) >= MILLISECONDS_FROM:
            raise _wrong(name, text, "that is no time in seconds; if these are milliseconds, divide them by 1,000")
        if self._has_dates not in (None, is_date):
            kind, before = ("a date", "numbers of seconds") if is_date else ("a number", "dates")
            raise _wrong(name, text, f"this is {kind}, and the times before it are {before}: use one of them")
        self._has_dates = is_date
        return at

    def _type(self, text: str) -> str:
        """What a pool may name; each type is checked once, and no more of them than a pool may have."""
        if text not in self._types and len(self._types) < _TYPES_CHECKED:
            if refused := policy.refused({"types": [text], "template": policy.TEMPLATE}):
                raise _wrong("type", text, refused[0].rpartition(" in body ")[2])
            self._types.add(text)
        return text


def _text(name: str | None, value: str | list[str] | None) -> str:
    if value is None:
        raise ValueError(f"column {name}: the line ends before it: write a cell for each column, empty if need be")
    if name is None or isinstance(value, list):
        raise ValueError(f"column {_shown(','.join(value))} has no name in line 1: put cells with commas in quotes")
    return value


def _service_seconds(text: str) -> float:
    seconds = _number(text)
    most = JOB_DAYS_MAX * DAY_SECONDS
    if seconds is None or not 0 <= seconds <= most:
        raise _wrong("service_seconds", text, f"write a number of seconds from 0 to {most:,}")
    return seconds


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _date(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _wrong(column: str, text: str, advice: str) -> ValueError:
    return ValueError(f"column {column}: {_shown(text)}: {advice}")


def _shown(text: str) -> str:
    return f'"{text[:_SHOWN]}..."' if len(text) > _SHOWN else f'"{text}"'
