"""Reads a trace from a CSV file: arrived_at, service_seconds; optional type, tenant and due_at."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from jobtide_controller.simulate.trace import Job, Trace

REQUIRED = ("arrived_at", "service_seconds")


class TraceError(Exception):
    """No trace can be made from the input; the message says why."""


def read(path: Path) -> Trace:
    """Reads the file. Raises TraceError with the number of the line that can't be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            jobs = _jobs(csv.DictReader(lines), path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"can't read the trace {path}: {error}") from error
    if not jobs:
        raise TraceError(f"{path} has no jobs: write one per line below the header {','.join(REQUIRED)}")
    return from_epoch(path.stem, jobs)


def from_epoch(name: str, jobs: Iterable[Job]) -> Trace:
    """A trace that starts with the first of these jobs; they may be in any order, with times since any epoch."""
    ordered = sorted(jobs, key=lambda job: job.created_at)
    start = ordered[0].created_at
    return Trace(name, tuple(_shifted(job, start) for job in ordered))


def _shifted(job: Job, start: float) -> Job:
    due_at = None if job.due_at is None else job.due_at - start
    return Job(job.created_at - start, job.service_seconds, job.type, job.tenant_id, due_at)


def _jobs(rows: csv.DictReader[str], path: Path) -> list[Job]:
    missing = [name for name in REQUIRED if name not in (rows.fieldnames or ())]
    if missing:
        raise TraceError(
            f"{path} has no column {' and no column '.join(missing)}: its first line must name the columns"
        )
    jobs: list[Job] = []
    for row in rows:
        try:
            jobs.append(_job(row))
        except ValueError as error:
            raise TraceError(f"{path}, line {rows.line_num}: {error}") from error
    return jobs


def _job(row: Mapping[str, str | None]) -> Job:
    service_seconds = float(row["service_seconds"] or "")
    if not 0 <= service_seconds < float("inf"):
        raise ValueError(f"service_seconds is {service_seconds:g}: use a number of seconds of at least 0")
    due_at = row.get("due_at")
    return Job(
        created_at=_moment(row["arrived_at"] or ""),
        service_seconds=service_seconds,
        type=row.get("type") or "job",
        tenant_id=row.get("tenant") or "t1",
        due_at=_moment(due_at) if due_at else None,
    )


def _moment(text: str) -> float:
    """A number of seconds, or an ISO date and time; without a time zone it is UTC."""
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
