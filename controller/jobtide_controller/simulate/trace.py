"""A trace: jobs with their service times, and spans of failures. Times are seconds from the trace's start."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from jobtide_controller.api.v1alpha1 import Tenants

MONDAY = 1_767_571_200.0
"""2026-01-05T00:00:00Z: when a trace begins that has no dates, for windows by the clock."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job to simulate; the tenant matters for rotation and caps."""

    created_at: float
    service_seconds: float  # how long it holds its slot
    type: str = "job"
    tenant_id: str = "t1"
    due_at: float | None = None  # scheduled for later than created_at

    @property
    def startable_at(self) -> float:
        return self.created_at if self.due_at is None else max(self.created_at, self.due_at)


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time, without its end."""

    start: float
    end: float

    def covers(self, moment: float) -> bool:
        return self.start <= moment < self.end


@dataclass(frozen=True)
class Trace:
    """All jobs, and the spans in which the reading or every attempt fails."""

    name: str
    jobs: tuple[Job, ...]  # by created_at
    unreadable: tuple[Span, ...] = ()  # the database answers workers, but not the scaler's reading
    failing: tuple[Span, ...] = ()  # attempts that end here fail, and are retried with backoff
    failing_share: float = 1.0  # of those attempts
    slow_clock: tuple[Span, ...] = ()  # the database's clock is behind
    behind_seconds: float = 0.0  # by so much
    tenants: Tenants = field(default_factory=Tenants)
    began_at: float = MONDAY  # seconds since the epoch at the trace's start

    @cached_property
    def seconds(self) -> float:
        """Until the last job may start."""
        return max((job.startable_at for job in self.jobs), default=0.0)

    @cached_property
    def types(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(job.type for job in self.jobs))

    def is_readable(self, moment: float) -> bool:
        return not any(span.covers(moment) for span in self.unreadable)

    def is_failing(self, moment: float) -> bool:
        return any(span.covers(moment) for span in self.failing)

    def clock(self, moment: float) -> float:
        """What the database's clock shows."""
        is_behind = any(span.covers(moment) for span in self.slow_clock)
        return moment - self.behind_seconds if is_behind else moment
