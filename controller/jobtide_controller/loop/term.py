"""Everything that a controller remembers while it leads, in one place.

    Term -> databases, by name -> pools, by UID -> PoolState

One PoolState holds all that is remembered of one pool. To forget the pool is to delete its record; to lose the lease is
to drop the Term. A new leader starts from the pools' statuses, so nothing here must outlive the term.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from jobtide.table_health import SnapshotAges, TableHealth
from jobtide_controller.api.spec import Retention, Tenants
from jobtide_controller.decide.connection_shares import ConnectionRequest
from jobtide_controller.decide.fleet import Share
from jobtide_controller.decide.history import History
from jobtide_controller.decide.limits import Kept, PoolLimits
from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.decide.retention import PassReport, Policy, Retained, is_set, retained
from jobtide_controller.decide.table_health import Shown
from jobtide_controller.decide.unserved import UnservedType
from jobtide_controller.loop.pools import NO_RETENTION
from jobtide_controller.loop.ports import Scaler, Writes
from jobtide_controller.telemetry.metrics import DatabaseGauges, PoolGauges, PoolTrouble


class ReportedCondition(NamedTuple):
    """One condition of a pool as it was last emitted; its words are in the pool's status."""

    status: str
    reason: str


class Bug(NamedTuple):
    """An error that a pass over a pool ended with: the pool backs off, unless its user changes it."""

    error: str
    generation: int  # of the pool
    passes: int  # that ended so in a row
    retry_at: float  # by the controller's clock


@dataclass(slots=True)
class PoolState:
    """Everything that one term remembers of one pool. Times are by the controller's clock, in seconds."""

    scaler: Scaler
    history: History | None = None  # None: as the pool's status has it
    busy_uids: frozenset[str] | None = None  # workers with a claim, by the last reading
    is_idle: bool = False  # nothing to do until it changes, has jobs, or `wake_at`
    wake_at: float | None = None
    bug: Bug | None = None  # how the last pass ended, if it did not succeed
    request: ConnectionRequest | None = None  # what it asks for of the connection budget; None: nothing
    granted_workers: int = 0  # what it got of it
    decided: int | None = None  # replicas of the last decision
    writing_since: float | None = None  # that number is on its way to the API server; None: it has arrived, or failed
    reported: tuple[object, ...] | None = None  # what the last rendered status was made from
    unwritten_decisions: str | None = None  # of that status, as JSON, until the API server has them
    conditions: dict[str, ReportedCondition] | None = None  # as last emitted
    status_written_at: float | None = None  # None: its numbers do not change
    gauges: PoolGauges | None = None
    troubles: tuple[PoolTrouble, ...] = ()  # conditions that are not as they should be


@dataclass(slots=True)
class RetentionState:
    """What one term remembers of the deletion of ended jobs. `next_at` is by the monotonic clock, in seconds."""

    # types (None: the pool is refused) and retention, by UID
    by_pool: dict[str, tuple[tuple[str, ...] | None, Retention]] = field(default_factory=dict)
    policy: Policy | None = None  # None: not known yet
    next_at: float = float("-inf")  # when the next pass may begin
    report: PassReport | None = None  # of the last pass
    complete_at: float | None = (
        None  # end of the last complete pass, or when passes were wanted first, by the wall clock
    )

    @property
    def wants_passes(self) -> bool:
        """Whether ended jobs are to be deleted, also while a pool that can't be used stops it."""
        if self.policy is None:
            return False
        is_stopped = self.policy.is_unknown and any(is_set(retention) for _, retention in self.by_pool.values())
        return bool(self.policy.completed or self.policy.failed or is_stopped)

    def retained(self, uid: str) -> Retained | None:
        """What the pool's status shows of the last pass; None: nothing new."""
        types, own = self.by_pool.get(uid, ((), NO_RETENTION))
        if self.report is None or self.policy is None or not types or not is_set(own):
            return None
        return retained(self.report, self.policy, types, own)


@dataclass(slots=True)
class UnservedState:
    """What one term remembers of the types that no pool of a database handles."""

    found: tuple[UnservedType, ...] = ()  # those to show, the most jobs first
    shown_by: frozenset[str] = frozenset()  # UIDs of the pools whose statuses name them
    named: frozenset[str] = frozenset()  # types of the last event
    named_at: float | None = None  # by the controller's clock


@dataclass(slots=True)
class LimitsState:
    """What one term remembers of the limits of a database's tenants."""

    kept: Kept = field(default_factory=Kept)  # as last found
    names: dict[str, str] = field(default_factory=dict)  # of the pools that were looked at, by UID
    tenants: dict[str, Tenants] = field(default_factory=dict)  # their limits then
    changed: dict[str, PoolLimits] = field(default_factory=dict)  # not yet given to the source, by name
    gone: set[str] = field(default_factory=set)  # the same of deleted pools


@dataclass(slots=True)
class TableState:
    """What one term remembers of the table's health. `next_at` is by the monotonic clock, in seconds."""

    health: TableHealth | None = None  # None: not known
    shown: Shown = field(default_factory=Shown)
    ages: SnapshotAges = field(default_factory=SnapshotAges)
    next_at: float = float("-inf")  # when the next look may begin


@dataclass(slots=True)
class DatabaseState:
    """What one term remembers of one database and its pools."""

    connections: int | None  # the connection budget for the workers of all pools; None: no limit
    pools: dict[str, PoolState] = field(default_factory=dict)
    reading: Reading | Unreadable | None = None  # the last one
    read_at: float | None = None  # when the last good reading was taken, by the database's clock
    failures: int = 0  # readings that failed in a row
    changing_pools: int = 0  # whose numbers change, so that their statuses share the writes
    shows_tenants: bool = True  # their IDs, in statuses and in /metrics
    retention: RetentionState = field(default_factory=RetentionState)
    unserved: UnservedState = field(default_factory=UnservedState)
    limits: LimitsState = field(default_factory=LimitsState)
    table: TableState = field(default_factory=TableState)
    warnings: tuple[str, ...] = ()  # what makes the database slow, with what to do about it

    def share(self, uid: str) -> Share | None:
        """What the pool has of the connection budget; None: there is no budget."""
        if self.connections is None:
            return None
        state = self.pools[uid]
        each = (state.request or ConnectionRequest(0)).connections
        return Share(state.granted_workers, each, self.connections)

    @property
    def gauges(self) -> DatabaseGauges:
        """What /metrics shows of the database."""
        requests = [(state.request, state.granted_workers) for state in self.pools.values()]
        granted = sum(request.connections * workers for request, workers in requests if request is not None)
        unserved = {one.type: one.jobs for one in self.unserved.found}
        troubles = [trouble for state in self.pools.values() for trouble in state.troubles]
        complete_at = self.retention.complete_at if self.retention.wants_passes else None
        return DatabaseGauges(
            self.reading,
            self.connections,
            granted,
            self.shows_tenants,
            unserved,
            self.table.health,
            troubles,
            complete_at,
        )


class Term:
    """One term of leadership, from taking the lease to losing it."""

    def __init__(self, number: int, writes: Writes) -> None:
        self.number = number
        self.writes = writes
        self.databases: dict[str, DatabaseState] = {}

    def database(
        self,
        name: str,
        connections: int | None,
        unreadable: Unreadable | None = None,
        *,
        shows_tenants: bool = True,
    ) -> DatabaseState:
        """The state of this database. A new one starts with its settings and the outage that goes on."""
        if name not in self.databases:
            self.databases[name] = DatabaseState(connections, reading=unreadable, shows_tenants=shows_tenants)
        return self.databases[name]

    @property
    def changing_pools(self) -> int:
        return sum(database.changing_pools for database in self.databases.values())


class Terms:
    """The current term, as long as there is one."""

    def __init__(self, number: Callable[[], int | None], begin: Callable[[], Writes]) -> None:
        """`number` is that of the term that we lead now; None: another controller leads."""
        self._number = number
        self._begin = begin
        self._term: Term | None = None

    @property
    def current(self) -> Term | None:
        """The current term; None while another controller leads: everything of the last term is dropped."""
        number = self._number()
        if self._term is not None and self._term.number != number:
            self._term.writes.end()
            self._term = None
        if self._term is None and number is not None:
            self._term = Term(number, self._begin())
        return self._term

    def pool_gauges(self) -> Iterator[PoolGauges]:
        """What /metrics shows of the pools: nothing while another controller leads."""
        for database in self._databases().values():
            yield from (state.gauges for state in database.pools.values() if state.gauges is not None)

    def database_gauges(self) -> Iterator[tuple[str, DatabaseGauges]]:
        """The same of the databases, by name."""
        yield from ((name, database.gauges) for name, database in self._databases().items())

    def _databases(self) -> dict[str, DatabaseState]:
        term = self.current
        return {} if term is None else term.databases
