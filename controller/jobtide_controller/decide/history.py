"""What one decision needs from the earlier ones: a value that each decision takes and returns.

What was learned about the types must survive a restart, so the pool's status has it. All else may be lost:
a controller without history does not scale down before one hold has passed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from jobtide_controller.api.status import JobWorkerPoolStatus
from jobtide_controller.decide.arrival_rate import Pieces
from jobtide_controller.decide.reading import Key

PRIOR_SERVICE_SECONDS = 1.0
"""S0: the assumed service time before any job has ended. A value ten times off has no measurable effect."""

PRIOR_JOBS = 2.0
"""The number of jobs that S0 counts as."""

RUNNING_PART = 0.25  # of the running jobs, counted as ended where fewer have

RECENT_SECONDS, RECENT_DOUBT = 20.0, 1.5
"""A second estimate notices slower jobs within seconds. It has few jobs, so it counts only if it is far greater."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned about one type."""

    slot_seconds: float = 0.0  # seconds of slots that its jobs used; older ones count less
    jobs: float = 0.0  # jobs that ended in that time; older ones count less
    ran_seconds: float = 0.0  # how long jobs of the type have been running
    recent_slot_seconds: float = 0.0  # as the first two, of the last 20 s; a restart loses them
    recent_jobs: float = 0.0
    running: int = 0  # jobs that run now

    @property
    def service_seconds(self) -> float:
        """S, seconds per job: as over minutes, or two thirds of the last 20 s where jobs have become slower.

        400 slot seconds and 38 jobs in the last 20 s: 400 / (38 + 2) / 1.5 = 6.7 s, if over minutes it was less.
        """
        return max(self.lasting_service_seconds, self._recent(self.recent_jobs))

    @property
    def load_service_seconds(self) -> float:
        """S for the lasting load: no greater than if a quarter of the jobs that run ended now.

        The first 16 jobs have run for 20 s on average, none has ended: 320 / (4 + 2) = 53 s, not 320 / 2 = 160 s. What
        waits is planned with 160 s, since all of them may last long; what is yet to come need not be.
        """
        ending = RUNNING_PART * self.running
        return max(self._lasting(max(self.jobs, ending)), self._recent(max(self.recent_jobs, ending)))

    @property
    def lasting_service_seconds(self) -> float:
        """By Little's law. 30 slot seconds and 10 jobs: (30 + 2) / (10 + 2) = 2.7 s."""
        return self._lasting(self.jobs)

    def _lasting(self, jobs: float) -> float:
        return (self.slot_seconds + PRIOR_JOBS * PRIOR_SERVICE_SECONDS) / (jobs + PRIOR_JOBS)

    def _recent(self, jobs: float) -> float:
        return self.recent_slot_seconds / (jobs + PRIOR_JOBS) / RECENT_DOUBT


UNKNOWN_TYPE = Learned()


class Group(NamedTuple):
    """Tenants whose arrivals of one type are counted together: a tenant with a cap alone, all others as one."""

    type: str
    tenant_id: str | None  # None: all tenants without a cap


@dataclass(frozen=True, slots=True)
class Count:
    """The rows of one key at the last reading."""

    due: int
    later: int
    running: int
    capped: bool
    estimate: float  # of the due rows, computed from arrivals and slots while counting stops early


class Failing(NamedTuple):
    """Attempts have ended, and none that was looked at succeeded; times by the database's clock."""

    since: float  # the first failure
    last_at: float  # the latest one


class Recommendation(NamedTuple):
    """The number of workers that one decision recommended, before the limits of scaling down.

    Times are by the controller's clock.
    """

    at: float
    replicas: int


@dataclass(frozen=True, slots=True)
class History:
    """One pool's past. Times are by the database's clock; `late_at` and `recommendations` by the controller's."""

    began_at: float = 0.0  # time of the first reading
    read_at: float | None = None  # time of the last reading
    counts: Mapping[Key, Count] = field(default_factory=dict)  # of the last reading
    types: Mapping[str, Learned] = field(default_factory=dict)
    flow: Mapping[Group, Pieces] = field(default_factory=dict)  # rows that fell due in the last ten minutes
    put_off: Mapping[Group, int] = field(default_factory=dict)  # rows of `flow` that back off, to be counted once
    failing: Failing | None = None
    late_at: float | None = None  # when a job last waited longer than promised; None: not within the last minute
    recommendations: tuple[Recommendation, ...] = ()  # oldest and highest first

    def learned(self, type_: str) -> Learned:
        """What was learned about a type; UNKNOWN_TYPE if nothing was."""
        return self.types.get(type_, UNKNOWN_TYPE)


def restored(status: JobWorkerPoolStatus | None) -> History:
    """The history after a restart of the controller: what the status kept of the learned service times."""
    if status is None:
        return History()
    return History(
        types={
            entry.type: Learned(entry.learned.slot_seconds, entry.learned.jobs)
            for entry in status.types
            if entry.learned is not None
        }
    )


def limited(history: History, types: Collection[str]) -> History:
    """The history without the types that the pool does not have any more."""
    if all(type_ in types for type_ in history.types):
        return history
    return replace(history, types={type_: known for type_, known in history.types.items() if type_ in types})


def with_recommendation(history: History, *, now: float, replicas: int, current: int, hold_seconds: float) -> History:
    """The history with this decision's recommendation; an empty one starts with the `current` number of workers.

    The recommendations are strictly falling: one is dropped when a later one is at least as high, since it can't be
    the highest of any window any more. 3 at 10 s, 5 at 20 s, 2 at 30 s is kept as 5 at 20 s, 2 at 30 s.
    """
    earlier = history.recommendations or (Recommendation(now, current),)
    # After a clock was set back, times in the future must not extend the hold.
    higher = [Recommendation(min(one.at, now), one.replicas) for one in earlier if one.replicas > replicas]
    recent = tuple(one for one in higher if now - one.at <= hold_seconds)
    return replace(history, recommendations=(*recent, Recommendation(now, replicas)))


def highest_recent(history: History) -> int:
    """The highest recommendation within the hold, this decision's included."""
    return history.recommendations[0].replicas
