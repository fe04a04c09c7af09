"""Runs one trace with one scaler in a closed loop, and measures the outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec, Tenants
from jobtide_controller.decide.schedules import promised_seconds
from jobtide_controller.simulate.bound import least_worker_seconds
from jobtide_controller.simulate.cluster import Cluster, Setting
from jobtide_controller.simulate.scalers import Scaler
from jobtide_controller.simulate.state import Ledger
from jobtide_controller.simulate.trace import Trace

AFTERWARDS_SECONDS = 900.0  # time for the fleet to shrink after the last job; it costs until then


@dataclass(frozen=True, slots=True)
class StartTimes:
    """Start times of workers: log-normal, cut off on both sides."""

    median_seconds: float = 5.0
    least_seconds: float = 2.0
    most_seconds: float = 15.0
    spread: float = 0.5

    def draw(self, chance: Random) -> float:
        drawn = self.median_seconds * math.exp(self.spread * chance.gauss(0.0, 1.0))
        return max(self.least_seconds, min(drawn, self.most_seconds))

    @property
    def mean_seconds(self) -> float:
        """The mean of 2,000 draws; always the same, so that bounds can be compared."""
        chance = Random(0)  # noqa: S311 - an average, not a secret
        return sum(self.draw(chance) for _ in range(2_000)) / 2_000

    @classmethod
    def around(cls, median_seconds: float) -> StartTimes:
        """The usual spread around another median: from 0.4 to 3 times as long."""
        return cls(median_seconds, 0.4 * median_seconds, 3.0 * median_seconds)


@dataclass(frozen=True, slots=True)
class Options:
    """What is the same for all scalers that are compared: ticks, start times of workers, random numbers."""

    tick_seconds: float = 1.0
    start: StartTimes = field(default_factory=StartTimes)
    seed: int = 1
    hopeless_seconds: float = 4 * 3_600.0  # after the last arrival; then the simulation stops with a backlog


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment, for the plot."""

    at: float
    workers: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class TypeOutcome:
    """The jobs of one type, where types have promises of their own."""

    type: str
    promise_seconds: float
    waits: tuple[float, ...]  # sorted
    late: int  # attempts that waited longer than promised

    def wait(self, share: float) -> float:
        """As of Outcome."""
        return _quantile(self.waits, share)

    @property
    def late_share(self) -> float:
        """The share of them."""
        return self.late / max(1, len(self.waits))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one scaler achieved over one trace: waits of jobs, and costs in worker-seconds."""

    name: str
    waits: tuple[float, ...]  # sorted; of every attempt, without tenants that have a cap
    promise_seconds: float
    workers_max: int
    worker_seconds: float
    bound_seconds: float
    busy_stopped: int
    changes: int
    unfinished: int  # jobs still open when the simulation stopped
    samples: tuple[Sample, ...] = ()
    late: int | None = None  # attempts later than the promise of their time; None: as promise_seconds says
    types: tuple[TypeOutcome, ...] = ()  # where types have promises of their own

    def wait(self, share: float) -> float:
        """The quantile of the waits: this share of the attempts waits no longer."""
        return _quantile(self.waits, share)

    @property
    def late_share(self) -> float:
        """The share of attempts that waited longer than promised; an unfinished job counts as one of them."""
        late = sum(wait > self.promise_seconds for wait in self.waits) if self.late is None else self.late
        return (late + self.unfinished) / max(1, len(self.waits) + self.unfinished)

    @property
    def cost(self) -> float:
        """Worker-seconds as a multiple of the lower bound."""
        return self.worker_seconds / self.bound_seconds if self.bound_seconds else math.nan


def run(trace: Trace, policy: JobWorkerPoolSpec, scaler: Scaler, options: Options) -> Outcome:
    """Returns the outcome of this scaler; `policy` defines the workers, and the promise by which jobs are late.

    The same options give the same result. The simulation ends when all jobs have ended and the fleet has shrunk, for
    which it has AFTERWARDS_SECONDS; or `hopeless_seconds` after the last arrival, with a backlog.
    """
    chance = Random(options.seed)  # noqa: S311 - repeatable on purpose
    promises = {type_: policy.promise_of(type_) for type_ in trace.types} if policy.promises else {}
    setting = Setting(policy.concurrency, lambda: options.start.draw(chance), policy.tenants, policy.retry, promises)
    cluster = Cluster(trace, setting, chance)
    samples = _loop(cluster, trace, scaler, options, policy.min_replicas)
    unfinished = cluster.open_jobs
    ledger = cluster.closed()
    workers = [sample.workers for sample in samples]
    attempts = _attempts(trace, policy, ledger)
    return Outcome(
        name=scaler.name,
        waits=tuple(sorted(wait for _, wait, _ in attempts)),
        promise_seconds=float(policy.wait_seconds),
        workers_max=max(workers, default=0),
        worker_seconds=ledger.worker_seconds,
        bound_seconds=max(bound(trace, policy, options), _repeated(trace, ledger) / policy.concurrency),
        busy_stopped=ledger.busy_stopped,
        changes=sum(before != after for before, after in pairwise(workers)),
        unfinished=unfinished,
        samples=tuple(samples),
        late=sum(is_late for _, _, is_late in attempts),
        types=_types(trace, policy, attempts) if policy.promises else (),
    )


def bound(trace: Trace, policy: JobWorkerPoolSpec, options: Options) -> float:
    """Returns a lower bound of the worker-seconds of any scaler that keeps the promise; bound.py proves it."""
    return least_worker_seconds(
        trace.jobs,
        promise_of=policy.promise_of,
        concurrency=policy.concurrency,
        start_seconds=options.start.mean_seconds,
    )


def _attempts(trace: Trace, policy: JobWorkerPoolSpec, ledger: Ledger) -> list[tuple[str, float, bool]]:
    """Type and wait of each attempt, and whether it is more than what was promised when the job fell due."""
    own = policy.promises
    return [
        (key.type, wait, wait > (own.get(key.type) or promised_seconds(policy, trace.began_at + due_at)))
        for (key, wait), due_at in zip(ledger.waits, ledger.due_at, strict=True)
        if _is_promised(policy.tenants, key.tenant_id)
    ]


def _types(trace: Trace, policy: JobWorkerPoolSpec, attempts: list[tuple[str, float, bool]]) -> tuple[TypeOutcome, ...]:
    return tuple(
        TypeOutcome(
            type_,
            float(policy.promise_of(type_)),
            tuple(sorted(wait for name, wait, _ in attempts if name == type_)),
            sum(is_late for name, _, is_late in attempts if name == type_),
        )
        for type_ in trace.types
    )


def _repeated(trace: Trace, ledger: Ledger) -> float:
    """The slot seconds of all attempts, where some fail: `bound` knows only the first one of each job."""
    return ledger.attempt_seconds if trace.failing else 0.0


def _loop(cluster: Cluster, trace: Trace, scaler: Scaler, options: Options, min_replicas: int) -> list[Sample]:
    samples: list[Sample] = []
    now, over_at = 0.0, None
    while now < trace.seconds + options.hopeless_seconds:
        cluster.advance(now)
        cluster.scale(scaler.replicas(cluster, readable=trace.is_readable(now)), scaler.removal_order)
        samples.append(Sample(now, len(cluster.present), cluster.oldest_seconds))
        if cluster.is_over:
            over_at = now if over_at is None else over_at
            if len(cluster.workers) <= min_replicas or now - over_at >= AFTERWARDS_SECONDS:
                break
        now = _next_tick(cluster, scaler, now, options.tick_seconds)
    return samples


def _next_tick(cluster: Cluster, scaler: Scaler, now: float, tick_seconds: float) -> float:
    """The next tick, or the last one before something happens: idle nights cost no time to simulate."""
    arrival_at = cluster.next_arrival_at
    if arrival_at is None or arrival_at <= now + tick_seconds:
        return now + tick_seconds
    until = scaler.skip_idle(cluster)
    return now + tick_seconds * (1 if until is None else max(1, math.floor((until - now) / tick_seconds)))


def _quantile(waits: tuple[float, ...], share: float) -> float:
    if not waits:
        return 0.0
    return waits[min(len(waits) - 1, max(0, math.ceil(share * len(waits)) - 1))]


def _is_promised(tenants: Tenants, tenant_id: str) -> bool:
    """False for a tenant with a cap: it waits for its own jobs to end, and more workers would not change that."""
    return tenants.cap_of(tenant_id) is None
