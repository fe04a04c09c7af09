"""The parts of the simulated cluster."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from jobtide.queue.urgency import Group
from jobtide_controller.decide.reading import Depth, Key
from jobtide_controller.simulate.followed import Ends
from jobtide_controller.simulate.trace import Job


@dataclass(slots=True, eq=False)
class Worker:
    """A simulated pod, from its creation until its last job ends. Times are seconds from the trace's start."""

    number: int
    created_at: float
    ready_at: float
    running: int = 0
    stopping: bool = False  # claims no more jobs, exits when its jobs are done
    groups: list[Group] = field(default_factory=list)  # of types with one promise, where there are several

    @property
    def uid(self) -> str:
        return str(self.number)


class Waiting(NamedTuple):
    """One attempt that is not claimed yet; `order` is the position of the job among all arrivals."""

    due_at: float
    order: int
    job: Job
    attempt: int


@dataclass(slots=True)
class Line:
    """One tenant's jobs of one type."""

    due: deque[Waiting] = field(default_factory=deque)
    due_at_sum: float = 0.0
    later: list[Waiting] = field(default_factory=list)  # a heap
    running: int = 0
    arrivals: int = 0  # since the last reading
    in_ring: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.due or self.later or self.running or self.arrivals)

    def depth(self, now: float, ends: Ends) -> Depth:
        due = len(self.due)
        return Depth(
            due=due,
            later=len(self.later),
            running=self.running,
            oldest_age_seconds=max(0.0, now - self.due[0].due_at) if due else 0.0,
            mean_age_seconds=max(0.0, now - self.due_at_sum / due) if due else 0.0,
            next_due_at=self.later[0].due_at if self.later else None,
            arrivals=self.arrivals,
            followed=ends.followed,
            followed_ended=ends.ended,
            followed_seconds=ends.seconds,
        )


@dataclass(slots=True)
class Ledger:
    """Measurements for the outcome."""

    waits: list[tuple[Key, float]] = field(default_factory=list)  # of each attempt, from due to start
    due_at: list[float] = field(default_factory=list)  # of the same attempts
    worker_seconds: float = 0.0
    attempt_seconds: float = 0.0  # that all attempts held their slots
    busy_stopped: int = 0
    failed: int = 0  # jobs that ran out of attempts
