"""The loop's ports: all that it knows of the world.

Which pools there are (Pools), which workers exist (Workers), make them N (Scaler), write a status (Writes): kube/
implements these over the Kubernetes API, embedded/ over processes of this machine, and every implementation passes the
suites in tests/contracts. What is in the table (Source): postgres/ implements it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

from jobtide.table_health import TableHealth
from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.spec import Retention, Tenants
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.fleet import Fleet, Rollout
from jobtide_controller.decide.limits import Kept, PoolLimits
from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.decide.retention import Batch, Deleted
from jobtide_controller.render.facts import Overlap

Status = Mapping[str, Any]


class RescueFailedError(Exception):
    """The jobs stay where they are; the next reading finds them again."""


class DeletionFailedError(Exception):
    """No job was deleted; the message says why."""


class HeldUpError(DeletionFailedError):
    """A row of the batch is locked, or its deletion takes too long: a smaller batch, or the next one, may succeed."""


class LookFailedError(Exception):
    """Nothing is known of the health of the table; the message says why."""


class Source(Protocol):
    """One database with a job_queue. It never raises for a database that can't be read: Unreadable says why."""

    name: str

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes this database slow, with what to do about it."""
        ...

    async def read(self, types: Sequence[str], least_limits: Mapping[str, int]) -> Reading | Unreadable:
        """One reading of these types, or why there is none.

        `least_limits`: of which types tenants are limited in their running jobs, each with the lowest limit: a tenant
        that has as many due jobs or runs one is in the reading by itself, however many tenants there are.
        """
        ...

    @property
    def hears_jobs(self) -> bool:
        """Whether `await_jobs` reports a job: the last reading found none, and the database notifies."""
        ...

    async def await_jobs(self, seconds: float) -> None:
        """Returns when a job may have come since the last reading, at the latest after `seconds`.

        Only for a source that hears jobs.
        """
        ...

    async def keep_limits(self, changed: Sequence[PoolLimits], gone: Sequence[str]) -> Kept | None:
        """Stores the limits of tenants of the changed pools, forgets those of pools that are gone, and reads the view.

        It never raises: what could not be stored is tried again by the next call. None: it got no answer, and the
        same changes must be given again.
        """
        ...

    async def rescue(self, gives_back: Mapping[str, bool]) -> dict[str, int]:
        """Requeues the jobs of gone workers, by UID; the number of jobs for each. Raises RescueFailedError.

        `gives_back`: whether the loss is not the jobs' fault, so that it counts as no attempt.
        """
        ...

    async def delete_ended(self, batch: Batch) -> Deleted:
        """Deletes one batch of ended jobs. Raises DeletionFailedError, HeldUpError."""
        ...

    async def look_at_table(self) -> TableHealth:
        """The health of the table, beside the readings. Raises LookFailedError."""
        ...

    async def disconnect(self) -> None:
        """Closes the connections until the next reading or batch needs one."""
        ...


class PoolEntry(Protocol):
    """One pool as its user wrote it, with the status that it shows now."""

    @property
    def uid(self) -> str: ...
    @property
    def ref(self) -> PoolRef: ...
    @property
    def database(self) -> str: ...
    @property
    def generation(self) -> int: ...
    @property
    def types(self) -> tuple[str, ...]: ...
    @property
    def retention(self) -> Retention: ...
    @property
    def tenants(self) -> Tenants: ...
    @property
    def refusal(self) -> str | None:
        """Why the pool can't be used, with what to do: then it has no types, and `pool` raises LookupError."""
        ...

    @property
    def pool(self) -> JobWorkerPool: ...
    @property
    def not_allowed(self) -> str | None:
        """Why the pool may not use its database, in words for its user; None: it may."""
        ...

    @property
    def status(self) -> Status | None: ...


class Pools(Protocol):
    """Which pools there are, and which of them changed."""

    def databases(self) -> set[str]:
        """The databases that at least one pool names."""
        ...

    def of_database(self, database: str) -> Collection[str]:
        """The UIDs of the pools that name this database."""
        ...

    def types(self, database: str) -> list[str]:
        """Every job type that at least one pool of this database handles."""
        ...

    def note_stored(self, database: str, *, is_stored: bool | None) -> None:
        """Whether limits of tenants are in the database: then they are in no template, and replace no worker."""
        ...

    def least_limits(self, database: str) -> Mapping[str, int]:
        """The types of which a pool limits its tenants' running jobs, each with the lowest of these limits."""
        ...

    def of_type(self, database: str, type_: str) -> AbstractSet[str]:
        """The UIDs of the pools that handle this type."""
        ...

    def get(self, uid: str) -> PoolEntry | None: ...

    def overlaps(self, uid: str) -> tuple[Overlap, ...]:
        """The pool's types that another pool of the same database handles too, with the first few of those pools."""
        ...

    def take_changed(self, database: str) -> set[str]:
        """The UIDs of the pools that changed since the last call: their spec, their workers, or a write's result."""
        ...

    async def wait_for_change(self, database: str, seconds: float) -> None:
        """Returns when a pool of this database changes, at the latest after `seconds`."""
        ...


class GoneWorker(NamedTuple):
    """A worker that does not run any more."""

    gives_back: bool  # its jobs return without a counted attempt: it did not crash


class Presence(Enum):
    """What is known of the holder of a claim, if it is not gone."""

    ALIVE = "alive"
    UNKNOWN = "unknown"  # never seen: it may have gone while no controller ran
    OUTSIDE = "outside"  # not a worker of this kind: only its lease says when it is gone


class WorkersUnlistedError(Exception):
    """The workers could not be listed; the message says why."""


class Workers(Protocol):
    """Which workers exist. Which of them are busy is known from the claims in the table, by worker UID."""

    def fleet(self, pool_uid: str, busy_uids: AbstractSet[str]) -> Fleet:
        """The pool's workers as they are now; without any for a pool that is gone."""
        ...

    def rollout(self, pool_uid: str) -> Rollout:
        """How far the pool's workers run its newest template."""
        ...

    def presence_of(self, worker_uid: str) -> GoneWorker | Presence: ...

    async def list_uids(self) -> set[str]:
        """The UIDs of all workers that exist, by a new list. Raises WorkersUnlistedError."""
        ...


@dataclass(frozen=True, slots=True)
class WriteFailure:
    """Why a pool's workers could not be made as many as decided."""

    message: str
    is_conflict: bool = False  # what the pool would manage belongs to another owner: none of its workers can start


class Scaling(NamedTuple):
    """How far a pool's workers are from what was decided."""

    is_due: bool  # a write is under way
    again_seconds: float | None = None  # time alone makes a write due after this; None: it does not


class Scaler(Protocol):
    """Makes one pool's workers as many as decided. It holds what one term remembers of the pool's writes."""

    @property
    def failure(self) -> WriteFailure | None:
        """How the last write failed; None after one that succeeded."""
        ...

    def scale(self, replicas: int, fleet: Callable[[], Fleet]) -> Scaling:
        """Makes it `replicas` workers, idle ones first. Returns at once.

        `fleet` is called when workers are chosen to stop, which may be some time later.
        """
        ...

    def close(self) -> None:
        """The pool is forgotten: frees its place in what all pools share."""
        ...


class Writes(Protocol):
    """Everything that is written in one term of leadership."""

    def scaler(self, pool_uid: str) -> Scaler: ...

    def tell_status(self, entry: PoolEntry, status: Status) -> None:
        """Writes this status instead of one that still waits. Returns at once; a refused write is tried again."""
        ...

    def end(self) -> None:
        """Drops waiting writes; those in flight complete."""
        ...
