"""Compares the rows at the end with what each job must have become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from dev.demo.answers import Answers
from dev.demo.workload import DemoJob
from dev.stage.job_table import Row


@dataclass(frozen=True, slots=True)
class Finding:
    """A job that did not end as it must."""

    job: DemoJob
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of one run. It `holds` if each job ended once, and exactly the malformed ones failed."""

    jobs: int
    completed: int
    failed: int
    malformed: int
    lost: int
    duplicates: int
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        return (
            not self.findings
            and not self.lost
            and not self.duplicates
            and self.failed == self.malformed
            and self.completed + self.failed == self.jobs
        )


def judge(jobs: Sequence[DemoJob], rows: Mapping[UUID, Row], answers: Answers) -> Verdict:
    """Compares rows and expected ends. A job is lost if its row is missing or has not ended."""
    ended = [rows[job.id] for job in jobs if job.id in rows and rows[job.id].status in ("completed", "failed")]
    return Verdict(
        jobs=len(jobs),
        completed=sum(row.status == "completed" for row in ended),
        failed=sum(row.status == "failed" for row in ended),
        malformed=sum(job.malformed is not None for job in jobs),
        lost=len(jobs) - len(ended),
        duplicates=sum(row.accepted_ends > 1 for row in ended),
        findings=tuple(_findings(jobs, rows, answers)),
    )


def _findings(jobs: Sequence[DemoJob], rows: Mapping[UUID, Row], answers: Answers) -> Iterable[Finding]:
    for job in jobs:
        why = _fault(job, rows.get(job.id), answers)
        if why is not None:
            yield Finding(job, why)


def _fault(job: DemoJob, row: Row | None, answers: Answers) -> str | None:
    if row is None:
        return "its row is missing"
    if row.accepted_ends != 1 and row.status in ("completed", "failed"):
        return f"it ended {row.accepted_ends} times"
    match row.status:
        case "completed":
            return _completed(job, row, answers)
        case "failed":
            return _failed(job, row)
        case unfinished:
            return f"it is {unfinished} after {row.attempts} attempts"


def _completed(job: DemoJob, row: Row, answers: Answers) -> str | None:
    if job.malformed is not None:
        return f"it completed, but must fail with {job.malformed!r}"
    expected = answers.of(job)
    return None if row.result == expected else f"its result is {row.result!r}, but must be {expected!r}"


def _failed(job: DemoJob, row: Row) -> str | None:
    if job.malformed is None:
        return f"it failed with {row.result!r}, but its payload is valid"
    error = row.result.get("error") if isinstance(row.result, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if not isinstance(message, str) or job.malformed not in message:
        return f"it failed with {row.result!r}, which does not contain {job.malformed!r}"
    return None if row.attempts == 1 else f"it was tried {row.attempts} times, although no retry can repair its payload"
