"""What happens in a worker, as values. Each is emitted once; logs and metrics subscribe to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobtide.job import End, Job


@dataclass(frozen=True, slots=True)
class Started:
    """The worker has its settings and handlers, and begins to claim jobs of these types."""

    app: str
    types: tuple[str, ...]
    concurrency: int
    pod_uid: str


@dataclass(frozen=True, slots=True)
class TableSlow:
    """An index is missing: everything works, but slowly. The message names the fix."""

    message: str


@dataclass(frozen=True, slots=True)
class LimitsDenied:
    """The role may not read the limits of tenants that the controller stores."""


@dataclass(frozen=True, slots=True)
class ListenNotNeeded:
    """JOBTIDE_LISTEN is set, which an earlier version needed."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim returned at least one job; the jobs are leased to this worker."""

    jobs: list[Job]
    seconds: float  # duration of the claim


@dataclass(frozen=True, slots=True)
class Handled:
    """A handler returned or raised; the end is not written yet."""

    end: End
    seconds: float  # duration of the handler


@dataclass(frozen=True, slots=True)
class Finished:
    """Ends that passed the fence."""

    count: int
    seconds: float  # duration of the write


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """Another worker may have this job: its end is not written here, or its handler is cancelled."""

    job: Job
    during: str  # extend, look or finish


@dataclass(frozen=True, slots=True)
class LeasesKept:
    """The keeper extended leases, because no thread of the worker could."""

    count: int
    silent_seconds: float  # since the last pulse of the worker


@dataclass(frozen=True, slots=True)
class Overdue:
    """A handler runs past its timeout."""

    job: Job
    stack: str  # where its thread is


@dataclass(frozen=True, slots=True)
class RescuedJobs:
    """Jobs of dead claims that were requeued, their attempt counted."""

    count: int
    why: str  # lease_expired or own_pod


@dataclass(frozen=True, slots=True)
class RunsApart:
    """A job that a crash of its worker's process took along runs again, where it can harm no other job."""

    job: Job
    how: str  # in a process, or alone


@dataclass(frozen=True, slots=True)
class AllStuck:
    """Every place is held by a handler past its timeout that does not stop: the worker drains and exits."""

    places: int
    exit_code: int


@dataclass(frozen=True, slots=True)
class EndRefused:
    """The server refused the result of one job; the job ends as failed with that error."""

    job: Job
    message: str


@dataclass(frozen=True, slots=True)
class RowLeft:
    """The server refuses to change one row: the row is left and tried again later. Once for each row and `during`."""

    id: str
    during: str  # claim, finish, extend or rescue
    message: str
    job: Job | None = None  # None if this worker has not claimed it


@dataclass(frozen=True, slots=True)
class ClaimRefused:
    """The server refused the claim of one row; the job ended as failed with that error, without a run."""

    id: str
    type: str
    tenant: str
    message: str


@dataclass(frozen=True, slots=True)
class EndGivenUp:
    """Too many refused ends wait: this one is forgotten, and its lease expires."""

    job: Job


@dataclass(frozen=True, slots=True)
class ClaimsPaused:
    """Ends have not been written for some seconds: the worker claims nothing until they are."""

    unwritten: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ClaimsResumed:
    """Ends are written again."""

    seconds: float  # how long the pause was


@dataclass(frozen=True, slots=True)
class SlotRefused:
    """The server refused the next job of a schedule; this slot is not tried again."""

    type: str
    tenant: str
    message: str


@dataclass(frozen=True, slots=True)
class DatabaseLost:
    """The first failure of an outage."""

    doing: str
    message: str
    state: str = "unreachable"  # or read-only, or unusable: its table is wrong


@dataclass(frozen=True, slots=True)
class DatabaseStillLost:
    """The same outage, now with another cause."""

    doing: str
    message: str
    state: str = "unreachable"


@dataclass(frozen=True, slots=True)
class DatabaseBack:
    """The first success after an outage."""

    doing: str


@dataclass(frozen=True, slots=True)
class Draining:
    """The worker was asked to stop: it claims no more jobs."""

    running: int
    seconds: float  # how long running jobs may still take


@dataclass(frozen=True, slots=True)
class Drained:
    """The worker has requeued what it could not finish, and exits."""

    requeued: int  # jobs, their attempt not counted
    unwritten: int  # ends that could not be written in time


Event = (
    Started | TableSlow | LimitsDenied | ListenNotNeeded | Claimed | Handled | Finished | LeaseLost | LeasesKept
    | Overdue | RescuedJobs | EndRefused | SlotRefused | DatabaseLost | DatabaseStillLost | DatabaseBack | Draining
    | Drained | RowLeft | ClaimRefused | EndGivenUp | ClaimsPaused | ClaimsResumed | RunsApart | AllStuck
)  # fmt: skip
Emit = Callable[[Event], None]


def to_all(*subscribers: Emit) -> Emit:
    """One emit for several subscribers."""

    def emit(event: Event) -> None:
        for subscriber in subscribers:
            subscriber(event)

    return emit
