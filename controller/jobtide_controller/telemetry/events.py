"""What happens in the controller, each as a value that is emitted once. Logs, metrics and Events are subscribers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jobtide_controller.api.base import PoolRef


@dataclass(frozen=True, slots=True)
class Started:
    version: str
    namespaces: tuple[str, ...]  # empty: all
    databases: tuple[str, ...]
    identity: str
    port: int  # of /healthz, /readyz and /metrics


@dataclass(frozen=True, slots=True)
class Stopping:
    why: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class LeaderChanged:
    """We began or stopped to lead."""

    leading: bool
    why: str


@dataclass(frozen=True, slots=True)
class LeaseFailed:
    """The API server did not answer a request about the lease."""

    message: str


@dataclass(frozen=True, slots=True)
class WatchEnded:
    """Nothing is heard of the cluster until the watch begins anew."""

    why: str
    restart_seconds: float


@dataclass(frozen=True, slots=True)
class WatchLost:
    """The watch does not reach the API server; it goes on trying."""

    why: str


@dataclass(frozen=True, slots=True)
class WatchFound:
    """It does again."""

    away_seconds: float


@dataclass(frozen=True, slots=True)
class Relisted:
    """A full list was compared with the inventory."""

    kind: str
    count: int
    repaired: int  # objects whose events had been missed
    seconds: float


@dataclass(frozen=True, slots=True)
class RelistFailed:
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class ObjectRejected:
    """An object can't be understood; the pool is left as it is."""

    kind: str
    pool: PoolRef
    uid: str
    message: str


@dataclass(frozen=True, slots=True)
class Ticked:
    """A database was read, or was not; its pools were decided."""

    database: str
    read_seconds: float
    keys: int
    pools: int  # decided in this tick
    seconds: float  # all of it


@dataclass(frozen=True, slots=True)
class DatabaseLost:
    database: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DatabaseFound:
    database: str
    away_seconds: float | None  # None: it was never read before


@dataclass(frozen=True, slots=True)
class Decided:
    """The number of workers that a pool should have has changed."""

    pool: PoolRef
    uid: str
    before: int
    after: int
    reason: str
    message: str
    limited_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReasonChanged:
    """The pool's state in one word has changed, for the worse or back."""

    pool: PoolRef
    uid: str
    condition: str
    good: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Wrote:
    """One request that changes the cluster was answered."""

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
    """A Kubernetes Event was not taken; nothing depends on it."""

    pool: PoolRef
    message: str


@dataclass(frozen=True, slots=True)
class Rescued:
    """Jobs of a gone pod are back in the queue."""

    database: str
    pod_uid: str
    jobs: int
    gave_back: bool


@dataclass(frozen=True, slots=True)
class RescueFailed:
    database: str
    message: str


@dataclass(frozen=True, slots=True)
class ForeignWorker:
    """A pod that this cluster does not have claims jobs: another cluster works on this database."""

    database: str
    pod_uid: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A bug: one pool or one tick was given up, the rest goes on."""

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
    | Failed
)

Emit = Callable[[Event], None]


class Subscriber(Protocol):
    def __call__(self, event: Event, /) -> None: ...


def to_all(subscribers: Sequence[Subscriber]) -> Emit:
    """One emit for many subscribers, in their order."""

    def emit(event: Event) -> None:
        for subscriber in subscribers:
            subscriber(event)

    return emit
