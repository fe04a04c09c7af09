"""The report at the end: a table by type, a table by tenant, and one line for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from dev.demo.verify import Verdict
from dev.demo.workload import DemoJob
from dev.machine.text import percentile
from dev.stage.job_table import Row
from jobtide.commands.table import aligned

SHOWN_FINDINGS = 10
HEADINGS = ("jobs", "completed", "failed", "wait p50", "wait p99")


def account(jobs: Sequence[DemoJob], rows: Mapping[UUID, Row], names: Mapping[UUID, str]) -> str:
    """Two tables. A wait is the time from the insert to the first claim."""
    by_type = _lines(jobs, rows, lambda job: job.type)
    by_tenant = _lines(jobs, rows, lambda job: names[job.tenant_id])
    return "\n".join([*aligned((("type", *HEADINGS), *by_type)), "", *aligned((("tenant", *HEADINGS), *by_tenant))])


def findings(verdict: Verdict) -> list[str]:
    """One line for each of the first findings, and the number of the others."""
    lines = [f"job {found.job.id} ({found.job.type}): {found.why}" for found in verdict.findings[:SHOWN_FINDINGS]]
    more = len(verdict.findings) - SHOWN_FINDINGS
    return [*lines, f"and {more} more"] if more > 0 else lines


def last_line(verdict: Verdict, *, max_workers: int, zero_after_seconds: float) -> str:
    """Returns the line that tests and scripts parse: `demo:` and fields of the form name=number."""
    return (
        f"demo: jobs={verdict.jobs} completed={verdict.completed} failed={verdict.failed} lost={verdict.lost} "
        f"duplicates={verdict.duplicates} max_workers={max_workers} zero_after_s={zero_after_seconds:.1f}"
    )


def _lines(
    jobs: Sequence[DemoJob], rows: Mapping[UUID, Row], group_of: Callable[[DemoJob], str]
) -> list[tuple[str, ...]]:
    groups: dict[str, list[DemoJob]] = {}
    for job in jobs:
        groups.setdefault(group_of(job), []).append(job)
    return [
        _line(name, [rows[job.id] for job in group if job.id in rows], len(group)) for name, group in groups.items()
    ]


def _line(name: str, rows: Sequence[Row], jobs: int) -> tuple[str, ...]:
    waits = [row.wait_seconds for row in rows if row.wait_seconds is not None]
    count = {status: sum(row.status == status for row in rows) for status in ("completed", "failed")}
    return (
        name,
        str(jobs),
        str(count["completed"]),
        str(count["failed"]),
        _seconds(percentile(waits, 50)),
        _seconds(percentile(waits, 99)),
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
