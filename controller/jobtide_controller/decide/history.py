"""What the decision remembers from one tick to the next: a value, given in and handed out again.

Only what was learned about the types must outlive the process; it is kept in the pool's status. All else may
be lost: a controller without history lowers nothing before one hold has passed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from jobtide_controller.api.status import JobWorkerPoolStatus
from jobtide_controller.decide.arrival_rate import Pieces
from jobtide_controller.decide.reading import Key

PRIOR_SERVICE_SECONDS = 1.0
"""S0: what a job is taken to last before any has ended. Ten times wrong changes nothing measurable."""

PRIOR_JOBS = 2.0
"""How many jobs' worth that first guess counts."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of one type."""

    slot_seconds: float = 0.0  # num: seconds of slots that were used, older ones count less
    jobs: float = 0.0  # den: jobs that were seen to end in that time
    ran_seconds: float = 0.0  # how long jobs of the type have been seen to run

    @property
    def service_seconds(self) -> float:
        """S, by Little's law. 30 slot seconds and 10 jobs: (30 + 2) / (10 + 2) = 2.7 s."""
        return (self.slot_seconds + PRIOR_JOBS * PRIOR_SERVICE_SECONDS) / (self.jobs + PRIOR_JOBS)

    @property
    def evidence(self) -> float:
        """How much more than the first guess is known; a minute of one running job counts as 60."""
        return self.slot_seconds / PRIOR_SERVICE_SECONDS + self.jobs


UNKNOWN_TYPE = Learned()


class Group(NamedTuple):
    """Whose arrivals are counted together: a tenant with a cap by itself, all others as one."""

    type: str
    tenant_id: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """One key as the last reading had it."""

    due: int
    later: int
    running: int
    capped: bool
    estimate: float  # of the due rows, dead-reckoned while counting stops early


class Failing(NamedTuple):
    """Attempts have ended, and none that was looked at ended well; by the database's clock."""

    since: float
    last_at: float  # when the latest of them was seen


class Recommendation(NamedTuple):
    """How many workers one decision would have had, by the controller's clock."""

    at: float
    replicas: int


@dataclass(frozen=True, slots=True)
class History:
    """One pool's past. Times are by the database's clock; `late_at` and `recommendations` by the controller's."""

    began_at: float = 0.0  # first reading
    read_at: float | None = None  # last reading
    counts: Mapping[Key, Count] = field(default_factory=dict)
    types: Mapping[str, Learned] = field(default_factory=dict)
    flow: Mapping[Group, Pieces] = field(default_factory=dict)
    failing: Failing | None = None
    late_at: float | None = None  # a job was seen to wait longer than promised, within the last minute
    recommendations: tuple[Recommendation, ...] = ()

    def learned(self, type_: str) -> Learned:
        return self.types.get(type_, UNKNOWN_TYPE)


def restored(status: JobWorkerPoolStatus | None) -> History:
    """The history of a controller that has just started: only what a job of each type takes."""
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
    """Without what was learned of types that the pool has no more."""
    if all(type_ in types for type_ in history.types):
        return history
    return replace(history, types={type_: known for type_, known in history.types.items() if type_ in types})


def remembered(history: History, *, now: float, replicas: int, current: int, hold_seconds: float) -> History:
    """The record with this decision's number in it; one that starts empty starts with what runs now.

    Kept strictly falling: a number is forgotten as soon as a later one is at least as high, for it can't be
    the highest of any window any more. 3 at 10 s, 5 at 20 s, 2 at 30 s is kept as 5 at 20 s, 2 at 30 s.
    """
    earlier = history.recommendations or (Recommendation(now, current),)
    # A clock that was set back must not hold the fleet until it has caught up.
    higher = [Recommendation(min(one.at, now), one.replicas) for one in earlier if one.replicas > replicas]
    recent = tuple(one for one in higher if now - one.at <= hold_seconds)
    return replace(history, recommendations=(*recent, Recommendation(now, replicas)))


def highest_recent(history: History) -> int:
    """The highest number that the hold still remembers, this decision's own included."""
    return history.recommendations[0].replicas
