"""How long past jobs took, from a table that does not say when they started.

A pod with C slots starts a job when the slot is free and the job is there: at the later of `created_at` and the
moment at which the pod's C-th completion before this one freed a slot. What is left until `completed_at` is the
service time. It is an estimate: exact for one slot that is always polled, close for several that are about equally
long, too long by the pause of a pod that was free but did not look.

A pod's first C jobs have nothing before them, and may have waited for the pod itself: they count as the median of
their type, unless they were faster. So do retried jobs, whose earlier attempts left no trace, and unfinished ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

UNKNOWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PastJob:
    """One row. Times are seconds since the epoch."""

    type: str
    tenant_id: str
    created_at: float
    completed_at: float | None = None
    due_at: float | None = None  # of a row that is scheduled and was never tried
    attempts: int = 1
    pod: str | None = None

    @property
    def sojourn_seconds(self) -> float | None:
        """From creation to end: the wait and the service, of which the table keeps only the sum."""
        return None if self.completed_at is None else max(0.0, self.completed_at - self.created_at)


def service_seconds(jobs: Sequence[PastJob], *, slots: int, known: Mapping[str, float]) -> list[float]:
    """Of each job, in the same order; `known` types take what the user says."""
    certain = _certain(jobs, slots)
    typical = _typical(jobs, certain)
    return [
        known[job.type] if job.type in known else _one(job, certain.get(index), typical.get(job.type))
        for index, job in enumerate(jobs)
    ]


def _one(job: PastJob, certain: float | None, typical: float | None) -> float:
    if certain is not None:
        return certain
    sojourn = job.sojourn_seconds if job.attempts <= 1 else None
    known = [seconds for seconds in (sojourn, typical) if seconds is not None]
    return min(known, default=UNKNOWN_SECONDS)


def _certain(jobs: Sequence[PastJob], slots: int) -> dict[int, float]:
    """Of the jobs whose slot is known to have been freed by another, by their index."""
    ends = sorted(
        (job.completed_at, index)
        for index, job in enumerate(jobs)
        if job.completed_at is not None and job.pod is not None
    )
    freed: dict[str, deque[float]] = {}
    found: dict[int, float] = {}
    for completed_at, index in ends:
        job = jobs[index]
        before = freed.setdefault(job.pod or "", deque(maxlen=slots))
        if len(before) == slots and job.attempts <= 1:
            found[index] = max(0.0, completed_at - max(job.created_at, before[0]))
        before.append(completed_at)
    return found


def _typical(jobs: Sequence[PastJob], certain: Mapping[int, float]) -> dict[str, float]:
    """The median of each type: of the certain ones where there are any, else of all that ended at the first try."""
    sure: dict[str, list[float]] = {}
    rest: dict[str, list[float]] = {}
    for index, job in enumerate(jobs):
        if index in certain:
            sure.setdefault(job.type, []).append(certain[index])
        elif job.sojourn_seconds is not None and job.attempts <= 1:
            rest.setdefault(job.type, []).append(job.sojourn_seconds)
    return {type_: median(seconds) for type_, seconds in {**rest, **sure}.items()}
