"""Prometheus: counters follow the events, gauges are read from memory for a scrape. No scrape asks a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from jobtide import __version__
from jobtide.table_health import TableHealth
from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.spec import UNLIMITED, Tenants
from jobtide_controller.decide.reading import OTHERS, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.reasons import Note
from jobtide_controller.decide.schedules import InForce
from jobtide_controller.telemetry import events

TENANTS_SHOWN = 10
TYPES_SHOWN = 10  # of those that no pool handles: a client may insert any type
OTHER = "other"
ATTEMPTS = ("given_back", "counted")  # of a job whose worker is gone

_READ_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_TICK_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class PoolGauges:
    """One pool as /metrics shows it."""

    ref: PoolRef
    database: str
    promises: tuple[tuple[str, float], ...]  # of each type, by the windows that are open; inf: as long as it takes
    readable: bool
    pending: int
    processing: int
    oldest_seconds: float
    desired: int
    ready: int
    busy: int
    behind: tuple[Note, ...]
    limited: Mapping[str, int] = field(default_factory=dict)  # workers that each limit keeps away, by its name
    drain_deadline: float | None = None  # when the first of the stopped workers has to be gone; None: none is stopped
    in_force: InForce | None = None  # the windows by the clock; None: the pool has none
    tenants: Tenants = UNLIMITED  # the limits, where a tenant is paused


@dataclass(frozen=True, slots=True)
class PoolTrouble:
    """One condition of a pool that is not as it should be; Unknown is none, because another one has its cause."""

    ref: PoolRef
    condition: str
    reason: str


@dataclass(frozen=True, slots=True)
class DatabaseGauges:
    """One database as /metrics shows it."""

    reading: Reading | Unreadable | None  # None: not read yet
    connections: int | None  # the connection budget; None: there is none
    granted: int  # connections of all workers that may run now
    shows_tenants: bool = True
    unserved: Mapping[str, int] = field(default_factory=dict)  # waiting jobs by type that no pool handles
    table: TableHealth | None = None  # None: not known
    troubles: Sequence[PoolTrouble] = ()  # of its pools, also of those that can't be used
    retention_complete_at: float | None = None  # the last complete pass over ended jobs; None: all of them stay


class GaugeCollector(Collector):
    """The gauges as the controller remembers them at `take()`: nothing while another controller leads."""

    def __init__(
        self,
        pools: Callable[[], Iterable[PoolGauges]],
        databases: Callable[[], Iterable[tuple[str, DatabaseGauges]]],
    ) -> None:
        """`databases` are by name."""
        self._read_pools = pools
        self._read_databases = databases
        self._pools: list[PoolGauges] = []
        self._databases: list[tuple[str, DatabaseGauges]] = []

    def take(self) -> None:
        """Call it in the event loop, which changes what is read: `collect` runs in another thread."""
        self._pools = list(self._read_pools())
        self._databases = list(self._read_databases())

    def collect(self) -> Iterable[Metric]:
        yield from self._pool_metrics()
        yield from self._pool_troubles()
        yield self._promises()
        yield from self._database_metrics()
        yield from self._table_metrics()
        yield from self._retention_metrics()
        yield from self._budget_metrics()

    def _pool_metrics(self) -> Iterator[Metric]:
        labels = ["namespace", "pool"]
        pending = GaugeMetricFamily("jobtide_pool_pending", "Jobs that wait for this pool.", labels=labels)
        processing = GaugeMetricFamily("jobtide_pool_processing", "Jobs that run in this pool.", labels=labels)
        oldest = GaugeMetricFamily(
            "jobtide_pool_oldest_seconds",
            "Seconds that the oldest due job has waited; jobs of paused tenants do not count.",
            labels=labels,
        )
        desired = GaugeMetricFamily("jobtide_pool_desired_replicas", "Desired workers.", labels=labels)
        ready = GaugeMetricFamily("jobtide_pool_ready_replicas", "Workers that are ready.", labels=labels)
        busy = GaugeMetricFamily("jobtide_pool_busy_replicas", "Workers that run at least one job.", labels=labels)
        behind = GaugeMetricFamily("jobtide_pool_behind", "1 while a pool doesn't keep up.", labels=[*labels, "reason"])
        limited = GaugeMetricFamily(
            "jobtide_pool_limited_replicas", "Workers that a limit keeps away.", labels=[*labels, "limit"]
        )
        deadline = GaugeMetricFamily(
            "jobtide_pool_drain_deadline_timestamp_seconds",
            "When the first of the stopped workers has to be gone.", labels=labels,
        )  # fmt: skip
        for view in self._pools:
            who = [view.ref.namespace, view.ref.name]
            desired.add_metric(who, view.desired)
            ready.add_metric(who, view.ready)
            for reason in view.behind:
                behind.add_metric([*who, reason], 1)
            for limit, workers in view.limited.items():
                limited.add_metric([*who, limit], workers)
            if view.drain_deadline is not None:
                deadline.add_metric(who, view.drain_deadline)
            if view.readable:  # unknown is not zero
                pending.add_metric(who, view.pending)
                processing.add_metric(who, view.processing)
                oldest.add_metric(who, view.oldest_seconds)
                busy.add_metric(who, view.busy)
        yield from (pending, processing, oldest, desired, ready, busy, behind, limited, deadline)

    def _pool_troubles(self) -> Iterator[Metric]:
        trouble = GaugeMetricFamily(
            "jobtide_pool_trouble", "1 while a condition of the pool is not as it should be.",
            labels=["namespace", "pool", "condition", "reason"],
        )  # fmt: skip
        for _, gauges in self._databases:
            for one in gauges.troubles:
                trouble.add_metric([one.ref.namespace, one.ref.name, one.condition, one.reason], 1)
        yield trouble

    def _promises(self) -> Metric:
        """Also says which types and which database are a pool's."""
        promises = GaugeMetricFamily(
            "jobtide_pool_promise_seconds", "Seconds that a due job of this type may wait; +Inf: as long as it takes.",
            labels=["namespace", "pool", "database", "type"],
        )  # fmt: skip
        for view in self._pools:
            who = [view.ref.namespace, view.ref.name, view.database]
            for type_, seconds in view.promises:
                promises.add_metric([*who, type_], seconds)
        return promises

    def _database_metrics(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "jobtide_database_readable", "1 while the database can be read; the reason where it can't.",
            labels=["database", "reason"],
        )  # fmt: skip
        by_type = GaugeMetricFamily("jobtide_type_pending", "Jobs of this type that wait.", labels=["database", "type"])
        by_tenant = GaugeMetricFamily(
            "jobtide_tenant_pending", f"Waiting jobs of the {TENANTS_SHOWN} tenants with the most, and of all others.",
            labels=["database", "tenant"],
        )  # fmt: skip
        unserved = GaugeMetricFamily(
            "jobtide_unserved_jobs", f"Waiting jobs of the {TYPES_SHOWN} types with the most that no pool handles.",
            labels=["database", "type"],
        )  # fmt: skip
        for database, gauges in self._databases:
            reading = gauges.reading
            if reading is None:
                continue
            if isinstance(reading, Unreadable):
                up.add_metric([database, reading.reason], 0)
                continue
            up.add_metric([database, ""], 1)
            for type_, count in _sums(reading, by="type").items():
                by_type.add_metric([database, type_], count)
            sums = _sums(reading, by="tenant_id") if gauges.shows_tenants else {}
            unnamed = sums.pop(OTHERS, 0)
            for tenant, count in _top(sums, TENANTS_SHOWN, unnamed).items():
                by_tenant.add_metric([database, tenant], count)
            for type_, count in _top(gauges.unserved, TYPES_SHOWN).items():
                unserved.add_metric([database, type_], count)
        yield from (up, by_type, by_tenant, unserved)

    def _table_metrics(self) -> Iterator[Metric]:
        """What is not known has no series: unknown is not zero."""
        families = {
            name: GaugeMetricFamily(f"jobtide_table_{name}", words, labels=["database"])
            for name, words in (
                ("oldest_snapshot_seconds", "Age of the oldest snapshot that keeps vacuum from removing dead rows."),
                ("dead_rows", "Dead rows of job_queue, as the server estimates them."),
                ("live_rows", "Live rows of job_queue, as the server estimates them."),
                ("autovacuum_age_seconds", "Seconds since the table was last vacuumed, by autovacuum or by hand."),
                ("bytes", "Size of the table with its indexes."),
            )
        }
        for database, gauges in self._databases:
            if gauges.table is None or not isinstance(gauges.reading, Reading):
                continue
            table = gauges.table
            values = (
                table.oldest_seconds, table.dead_rows, table.live_rows, table.vacuum_age_seconds, table.size_bytes
            )  # fmt: skip
            for family, value in zip(families.values(), values, strict=True):
                if value is not None:
                    family.add_metric([database], value)
        yield from families.values()

    def _retention_metrics(self) -> Iterator[Metric]:
        """Only of databases in which ended jobs are to be deleted."""
        complete = GaugeMetricFamily(
            "jobtide_retention_complete_timestamp_seconds", "When a pass over the ended jobs last came to its end.",
            labels=["database"],
        )  # fmt: skip
        for database, gauges in self._databases:
            if gauges.retention_complete_at is not None:
                complete.add_metric([database], gauges.retention_complete_at)
        yield complete

    def _budget_metrics(self) -> Iterator[Metric]:
        """Only of databases that have a budget, and only in the controller that leads."""
        budget = GaugeMetricFamily(
            "jobtide_connection_budget", "Connections for the workers of all pools.", labels=["database"]
        )
        granted = GaugeMetricFamily(
            "jobtide_connections_granted", "Connections of all workers that may run now.", labels=["database"]
        )
        for database, gauges in self._databases:
            if gauges.connections is not None:
                budget.add_metric([database], gauges.connections)
                granted.add_metric([database], gauges.granted)
        yield from (budget, granted)


class Metrics:
    """A subscriber, and the text of /metrics."""

    def __init__(self, gauges: GaugeCollector) -> None:
        self.take_gauges = gauges.take
        self._registry = CollectorRegistry()
        self._registry.register(gauges)
        counter = partial(Counter, registry=self._registry)
        gauge = partial(Gauge, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        self._leader = gauge("jobtide_leader", "1 in the controller that acts.")
        self._build = gauge("jobtide_build_info", "1; the label has the version of the controller.", ["version"])
        self._build.labels(__version__).set(1)
        self._reads = histogram(
            "jobtide_read_seconds", "Duration of the depth statement.", ["database"], buckets=_READ_BUCKETS
        )
        self._ticks = histogram(
            "jobtide_tick_seconds", "A whole tick: read, decide, queue writes.", ["database"], buckets=_TICK_BUCKETS
        )
        self._keys = gauge("jobtide_read_keys", "Types and tenants in the last reading.", ["database"])
        self._losses = counter(
            "jobtide_database_losses", "Times that a database became unreadable.", ["database", "reason"]
        )
        self._decisions = counter("jobtide_decisions", "Changes of a pool's number of workers.", ["reason"])
        self._limits = counter("jobtide_limited_decisions", "Such changes that a limit altered.", ["limit"])
        self._writes = histogram("jobtide_write_seconds", "Requests that change the cluster.", ["what", "code"])
        self._retries = counter("jobtide_write_retries", "Writes that will be tried again.", ["what"])
        self._rescued = counter(
            "jobtide_rescued_jobs", "Jobs of gone pods returned to the queue.", ["database", "attempt"]
        )
        self._lost = counter("jobtide_lost_workers", "Gone pods that still held jobs.", ["database", "attempt"])
        self._deleted = counter(
            "jobtide_deleted_jobs", "Ended jobs that were deleted after their retention time.", ["database", "status"]
        )
        self._deletions = histogram(
            "jobtide_deletion_seconds", "Duration of one batch of deletions.", ["database"], buckets=_READ_BUCKETS
        )
        self._repairs = counter("jobtide_relist_repairs", "Objects whose events had been missed.", ["kind"])
        self._rejected = counter("jobtide_rejected_objects", "Objects that can't be used.")
        self._bugs = counter("jobtide_bugs", "Unexpected errors; each is in the log.")

    def text(self) -> str:
        """The exposition, with the gauges as last taken. Any thread may call it."""
        return generate_latest(self._registry).decode()

    def __call__(self, event: events.Event, /) -> None:  # noqa: C901, PLR0912 - one flat table
        match event:
            case events.LeaderChanged(leading, _):
                self._leader.set(int(leading))
            case events.Ticked(database, read_seconds, keys, _, seconds):
                self._reads.labels(database).observe(read_seconds)
                self._ticks.labels(database).observe(seconds)
                self._keys.labels(database).set(keys)
            case events.DatabaseLost(database, reason, _) if reason != UnreadableReason.NOT_CONFIGURED:
                # Users choose the names that are not configured, and a series stays as long as the process.
                self._losses.labels(database, reason).inc()
            case events.Decided(reason=reason, limited_by=limited_by):
                self._decisions.labels(reason).inc()
                for name in limited_by:
                    self._limits.labels(name).inc()
            case events.Wrote(what, seconds, code):
                self._writes.labels(what, str(code)).observe(seconds)
            case events.WriteFailed(what=what):
                self._retries.labels(what).inc()
            case events.DatabaseFound(database, _):
                # A counter that begins with its first event hides that event from increase() and rate().
                for counter in (self._rescued, self._lost):
                    for attempt in ATTEMPTS:
                        counter.labels(database, attempt)
            case events.Rescued(database, _, jobs, gave_back) if jobs:
                attempt = ATTEMPTS[0 if gave_back else 1]
                self._rescued.labels(database, attempt).inc(jobs)
                self._lost.labels(database, attempt).inc()
            case events.EndedDeleted(database, status, jobs, seconds):
                self._deleted.labels(database, status).inc(jobs)
                self._deletions.labels(database).observe(seconds)
            case events.Relisted(kind, _, repaired, _):
                self._repairs.labels(kind).inc(repaired)
            case events.ObjectRejected():
                self._rejected.inc()
            case events.Failed():
                self._bugs.inc()
            case _:
                pass


def _sums(reading: Reading, *, by: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, depth in reading.depths.items():
        name = getattr(key, by)
        sums[name] = sums.get(name, 0) + depth.due + depth.later
    return sums


def _top(sums: Mapping[str, int], shown: int, unnamed: int = 0) -> dict[str, int]:
    """The largest by name, the rest and `unnamed` as one: a million tenants are eleven series."""
    ranked = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    rest = unnamed + sum(count for _, count in ranked[shown:])
    return {**dict(ranked[:shown]), OTHER: rest} if unnamed or len(ranked) > shown else dict(ranked)
