"""What happens in a worker, each as a value that is emitted once. Logs and metrics are subscribers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobtide.job import End, Job


@dataclass(frozen=True, slots=True)
class Started:
    app: str
    types: tuple[str, ...]
    concurrency: int
    pod_uid: str


@dataclass(frozen=True, slots=True)
class TableSlow:
    """Everything works, at a price that the message says how to save."""

    message: str


@dataclass(frozen=True, slots=True)
class ListenIgnored:
    """Notifications were asked for, but a pooler stands before the database."""


@dataclass(frozen=True, slots=True)
class Claimed:
    jobs: list[Job]
    seconds: float  # what the claim took


@dataclass(frozen=True, slots=True)
class Handled:
    """A handler came to its end; the row has not been written yet."""

    end: End
    seconds: float  # from start to end of the handler


@dataclass(frozen=True, slots=True)
class Finished:
    """Ends that the fence let pass."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LeaseLost:
    job: Job
    during: str  # extend, finish


@dataclass(frozen=True, slots=True)
class LeasesKept:
    """Extended from outside, because no thread of the worker could."""

    count: int
    silent_seconds: float


@dataclass(frozen=True, slots=True)
class Overdue:
    """A handler runs past its timeout."""

    job: Job
    stack: str


@dataclass(frozen=True, slots=True)
class RescuedJobs:
    count: int
    why: str  # lease_expired, own_pod


@dataclass(frozen=True, slots=True)
class EndRefused:
    """The server refused the value of one end; it was replaced by a failure that says so."""

    job: Job
    message: str


@dataclass(frozen=True, slots=True)
class SlotRefused:
    """The server would not take the next job of a schedule; it will not be asked again for this slot."""

    type: str
    tenant: str
    message: str


@dataclass(frozen=True, slots=True)
class DatabaseLost:
    """The first failure of an outage."""

    doing: str
    message: str


@dataclass(frozen=True, slots=True)
class DatabaseStillLost:
    """The same outage, now with another cause."""

    doing: str
    message: str


@dataclass(frozen=True, slots=True)
class DatabaseBack:
    """The first success after an outage."""

    doing: str


@dataclass(frozen=True, slots=True)
class Draining:
    running: int
    seconds: float  # how long running jobs may take


@dataclass(frozen=True, slots=True)
class Drained:
    returned: int  # jobs given back
    unwritten: int  # ends that could not be written before the time was over


Event = (
    Started | TableSlow | ListenIgnored | Claimed | Handled | Finished | LeaseLost | LeasesKept
    | Overdue | RescuedJobs | EndRefused | SlotRefused | DatabaseLost | DatabaseStillLost | DatabaseBack | Draining
    | Drained
)  # fmt: skip
Emit = Callable[[Event], None]


def to_all(*subscribers: Emit) -> Emit:
    """One emit for several subscribers."""

    def emit(event: Event) -> None:
        for subscriber in subscribers:
            subscriber(event)

    return emit
