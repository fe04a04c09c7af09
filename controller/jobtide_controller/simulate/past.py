"""Reads a trace from the user's own job_queue: the jobs of the last days."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from jobtide.database_errors import DatabaseUrlWrong, connect, one_line
from jobtide.sql import load
from jobtide_controller.simulate.csvfile import DAY_SECONDS, JOB_DAYS_MAX, TraceError, from_epoch
from jobtide_controller.simulate.service import PastJob, service_seconds
from jobtide_controller.simulate.trace import Job, Trace

SQL_PACKAGE = "jobtide_controller.simulate.sql"
CONNECT_SECONDS = 10
JOBS_MAX = 5_000_000  # about 2 GB in memory


def read(url: str, days: float, types: Sequence[str] | None) -> list[PastJob]:
    """Reads the jobs of these types, or of all, without those that are due JOB_DAYS_MAX later or more.

    Raises TraceError if the table can't be read or has no such jobs.
    """
    what = f"the jobs of the last {days:g} days"
    try:
        with connect(url, connect_timeout=CONNECT_SECONDS, row_factory=dict_row) as connection:
            connection.read_only = True
            with connection.cursor(name="past_jobs", binary=True) as cursor:
                cursor.execute(
                    load(SQL_PACKAGE, "past_jobs"), {"days": days, "types": None if types is None else list(types)}
                )
                jobs = [_past_job(row) for row in cursor.fetchmany(JOBS_MAX + 1)]
    except (psycopg.Error, OSError, DatabaseUrlWrong) as error:
        raise TraceError(f"can't read {what} from job_queue: {one_line(error)}") from error
    if len(jobs) > JOBS_MAX:
        raise TraceError(f"{what} are more than {JOBS_MAX:,}: use fewer --days")
    jobs = list(filter(_is_near, jobs))
    if not jobs:
        of_types = "" if types is None else f" of the types {', '.join(types)}"
        raise TraceError(
            f"job_queue shows no job{of_types} of the last {days:g} days: use more --days, or check that row level "
            "security does not hide the rows from this role"
        )
    return jobs


def trace(jobs: Sequence[PastJob], *, slots: int, known: Mapping[str, float]) -> Trace:
    """Returns the trace of these jobs, of which there must be at least one.

    `slots` is the concurrency of the workers that ran them. `known` has the user's service times, in seconds by type.
    """
    lengths = service_seconds(jobs, slots=slots, known=known)
    return from_epoch(
        "job_queue",
        [
            Job(job.created_at, seconds, job.type, job.tenant_id, job.due_at)
            for job, seconds in zip(jobs, lengths, strict=True)
        ],
    )


def _is_near(job: PastJob) -> bool:
    """Not due much later, or at infinity: all laws would be simulated until then."""
    return job.due_at is None or job.due_at - job.created_at <= JOB_DAYS_MAX * DAY_SECONDS


def _past_job(row: Mapping[str, Any]) -> PastJob:
    completed_at = row["completed_at"]
    return PastJob(
        type=row["type"],
        tenant_id=row["tenant_id"],
        created_at=row["created_at"],
        completed_at=completed_at if completed_at is not None and math.isfinite(completed_at) else None,
        due_at=row["due_at"] if row["is_scheduled"] else None,
        attempts=row["attempts"],
        pod=row["pod"],
    )
