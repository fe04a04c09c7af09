"""The events of the controller, each a value that is emitted once. Logs, metrics and Kubernetes Events subscribe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jobtide_controller.api.base import PoolRef


@dataclass(frozen=True, slots=True)
class Started:
    """The settings are read, and probes are answered; nothing is known of the cluster yet."""

    version: str
    namespaces: tuple[str, ...]  # empty: all
    databases: tuple[str, ...]
    identity: str
    port: int  # of /healthz, /readyz and /metrics
    page_port: int | None = None  # None: there is no page


@dataclass(frozen=True, slots=True)
class Stopping:
    """The controller ends. `why` is the request, the part that failed, or a lease that could not be released."""

    why: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class LeaderChanged:
    """This controller took or lost the lease."""

    leading: bool
    why: str


@dataclass(frozen=True, slots=True)
class LeaseFailed:
    """The API server did not answer a request about the lease."""

    message: str


@dataclass(frozen=True, slots=True)
class WatchEnded:
    """The watch ended. No event of the cluster arrives until it restarts."""

    why: str
    restart_seconds: float


@dataclass(frozen=True, slots=True)
class WatchLost:
    """The watch does not reach the API server; it keeps trying."""

    why: str


@dataclass(frozen=True, slots=True)
class WatchFound:
    """The watch reaches the API server again."""

    away_seconds: float


@dataclass(frozen=True, slots=True)
class Relisted:
    """A full list was compared with the inventory."""

    kind: str
    count: int
    repaired: int  # objects whose events were missed
    seconds: float


@dataclass(frozen=True, slots=True)
class RelistFailed:
    """A full list could not be read; the inventory stays as it is until the next."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class ObjectRejected:
    """A pool can't be used; its workers stay as they are."""

    kind: str
    pool: PoolRef
    uid: str
    message: str


@dataclass(frozen=True, slots=True)
class Ticked:
    """A database was read and its pools were decided."""

    database: str
    read_seconds: float
    keys: int
    pools: int  # decided in this tick
    seconds: float  # all of it


@dataclass(frozen=True, slots=True)
class DatabaseLost:
    """The first failed reading of an outage, or one with another reason; the pools keep their workers."""

    database: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DatabaseFound:
    """The first reading that succeeded: after an outage, or after the start."""

    database: str
    away_seconds: float | None  # None: it was not read before


@dataclass(frozen=True, slots=True)
class Decided:
    """The desired number of a pool's workers changed."""

    pool: PoolRef
    uid: str
    before: int
    after: int
    reason: str
    message: str
    limited_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReasonChanged:
    """One of the pool's conditions changed, for the worse or back."""

    pool: PoolRef
    uid: str
    condition: str
    good: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Wrote:
    """A request that changes the cluster was answered."""

    what: str  # create, template, replicas, cost, status, event
    seconds: float
    code: int  # 0: no answer


@dataclass(frozen=True, slots=True)
class WriteFailed:
    """A pool's write will be tried again."""

    pool: PoolRef
    what: str
    message: str
    retry_seconds: float


@dataclass(frozen=True, slots=True)
class EventRefused:
    """The API server refused a Kubernetes Event; nothing depends on it."""

    pool: PoolRef
    message: str


@dataclass(frozen=True, slots=True)
class Rescued:
    """The jobs of a gone pod were requeued."""

    database: str
    pod_uid: str
    jobs: int
    gave_back: bool


@dataclass(frozen=True, slots=True)
class RescueFailed:
    """Jobs of gone pods could not be requeued; the next reading finds them again."""

    database: str
    message: str


@dataclass(frozen=True, slots=True)
class ForeignWorker:
    """A pod that this cluster does not have claims jobs: it is in another cluster, or the claim is forged."""

    database: str
    pod_uid: str


@dataclass(frozen=True, slots=True)
class EndedDeleted:
    """One batch of ended jobs was deleted after their retention time."""

    database: str
    status: str
    jobs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DeletionFailed:
    """Ended jobs can't be deleted; it is tried again."""

    database: str
    message: str


@dataclass(frozen=True, slots=True)
class TableJudged:
    """What the health of a table means has changed, and lasts."""

    database: str
    reason: str  # of the condition TableHealthy
    message: str


@dataclass(frozen=True, slots=True)
class TypesUnserved:
    """Jobs of these types wait, and no pool of the database handles them. Without types: none is left."""

    database: str
    types: tuple[str, ...]
    message: str
    pools: tuple[tuple[PoolRef, str], ...]  # reference and UID of those on which it is reported


@dataclass(frozen=True, slots=True)
class Acted:
    """A user of the page changed jobs, or tried to: emitted once, when the action has ended."""

    user: str
    database: str
    verb: str
    filter: Mapping[str, object]
    changed: int
    skipped: int
    state: str  # done, stopped or failed
    message: str | None  # why it failed


@dataclass(frozen=True, slots=True)
class Failed:
    """A bug: one pool or one tick was skipped, the rest continues."""

    where: str
    traceback: str


Event = (
    Started
    | Stopping
    | LeaderChanged
    | LeaseFailed
    | WatchEnded
    | WatchLost
    | WatchFound
    | Relisted
    | RelistFailed
    | ObjectRejected
    | Ticked
    | DatabaseLost
    | DatabaseFound
    | Decided
    | ReasonChanged
    | Wrote
    | WriteFailed
    | EventRefused
    | Rescued
    | RescueFailed
    | ForeignWorker
    | EndedDeleted
    | DeletionFailed
    | TableJudged
    | TypesUnserved
    | Acted
    | Failed
)

Emit = Callable[[Event], None]


class Subscriber(Protocol):
    """A function that logs, counts or records events. The emitter waits for it: it must neither block nor raise."""

    def __call__(self, event: Event, /) -> None: ...


def to_all(subscribers: Sequence[Subscriber]) -> Emit:
    """One emit for many subscribers, in their order."""

    def emit(event: Event) -> None:
        for subscriber in subscribers:
            subscriber(event)

    return emit
