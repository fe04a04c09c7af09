"""Estimates the service times of past jobs: the table does not store when they started.

A pod with C slots starts a job when a slot is free and the job exists: at the later of `created_at` and the moment
when the pod's C-th completion before this one freed a slot. The time from there to `completed_at` is the service time.
This is exact for one slot that always polls, close for several slots with jobs of similar length, and too long by the
time in which a pod was free but did not poll.

A pod's first C jobs have no completion before them, and may have waited for the pod to start: they count as the median
of their type, unless they were faster. So do retried jobs, whose earlier attempts are not stored, and unfinished jobs.
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
    due_at: float | None = None  # only of a scheduled row without an attempt
    attempts: int = 1
    pod: str | None = None

    @property
    def sojourn_seconds(self) -> float | None:
        """Wait plus service time: the table stores only their sum."""
        return None if self.completed_at is None else max(0.0, self.completed_at - self.created_at)


def service_seconds(jobs: Sequence[PastJob], *, slots: int, known: Mapping[str, float]) -> list[float]:
    """One for each job, in the same order; `known` has the user's value for a type."""
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
    """By index: the service times of jobs that followed another job in their slot."""
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
    """The median of each type: of the certain times if there are any, else of all jobs with one attempt."""
    certain_times: dict[str, list[float]] = {}
    sojourns: dict[str, list[float]] = {}
    for index, job in enumerate(jobs):
        if index in certain:
            certain_times.setdefault(job.type, []).append(certain[index])
        elif job.sojourn_seconds is not None and job.attempts <= 1:
            sojourns.setdefault(job.type, []).append(job.sojourn_seconds)
    return {type_: median(seconds) for type_, seconds in {**sojourns, **certain_times}.items()}
