"""What promises of single types cost a worker, and whether tenants are served as evenly as without them."""

from __future__ import annotations

import statistics
from uuid import UUID

from dev.bench.figures import Figure, median_and_spread, seconds_of
from dev.bench.settle import until_settled
from dev.bench.table import Table
from jobtide.job import End
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.promised import PromisedQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session

TYPES = ("bench", "slow")
PROMISES = {"bench": 30.0, "slow": 600.0}
MANY = 100_000
ROWS = 200_000
ROUNDS = 80
BATCHES = (1, 50)


class ClaimAndFinish:
    """Claims a batch of both types and finishes it, as a worker with one connection would."""

    def __init__(self, table: Table, batch: int, promises: dict[str, float]) -> None:
        session = Session(lambda: table.url)
        self._queue = (
            PromisedQueue(session, types=TYPES, promises=promises, pod_uid="bench", lease_seconds=600)
            if promises
            else PostgresJobQueue(session, pod_uid="bench", lease_seconds=600)
        )
        self._batch = batch
        self._ring, self._per_key = Ring(TYPES), batch
        self.tenants: list[UUID] = []  # of the claimed jobs of the type with many tenants

    def __call__(self) -> None:
        claim = self._queue.claim(self._ring, self._batch, min(self._batch, self._per_key))
        self._ring, self._per_key = claim.ring, claim.rows_per_key
        self.tenants += [job.tenant_id for job in claim.jobs if job.type == "bench"]
        if claim.jobs:
            self._queue.finish([End(job, "completed", "{}") for job in claim.jobs])

    def close(self) -> None:
        self._queue.close()


def measure(table: Table) -> list[Figure]:
    """Returns the claims that fairness needs, the rate over that without promises, and the price of an empty poll."""
    return [
        _fairness(table),
        *(_rate(table, tenants, batch) for tenants in (20, 1_000) for batch in BATCHES),
        _idle_poll(table),
    ]


def _fairness(table: Table) -> Figure:
    """Claims until the last of 999 tenants with one job each is served, beside one with many, and another type."""
    first, *others = table.tenants(1_000)
    table.clear()
    table.fill("bench", MANY, [first])
    table.fill("bench", len(others), others)
    table.fill("slow", MANY, [first, *others])
    table.vacuum()
    claim, claims = ClaimAndFinish(table, 1, PROMISES), 0
    while not set(others) <= set(claim.tenants):
        for _ in range(100):
            claim()
        claims += 100
    claim.close()
    served = claim.tenants
    last = max(served.index(tenant) for tenant in others) + 1
    how = f"claims of its type until 999 tenants with one row are served, beside one with {MANY:,}; over 999"
    return Figure("fairness with promises", last / len(others), "x", 1.1, "lower", how)


def _rate(table: Table, tenants: int, batch: int) -> Figure:
    """The rate with two promises over that with none, alternating."""
    ratios: list[float] = []
    for _ in until_settled(ratios, at_most=5):
        table.clear()
        table.fill_types(list(TYPES), ROWS, table.tenants(tenants))
        table.vacuum()
        calls = [ClaimAndFinish(table, batch, promises) for promises in (PROMISES, {})]
        for call in calls * 20:  # so that plans are cached
            call()
        promised, plain = map(
            statistics.median, zip(*[[seconds_of(call) for call in calls] for _ in range(4 * ROUNDS)], strict=True)
        )
        for call in calls:
            call.close()
        ratios.append(plain / promised)
    value, spread = median_and_spread(ratios)
    how = f"claim + finish, batches of {batch}, two types with due jobs, promises of 30 and 600 s over none"
    return Figure(f"rate with promises, {tenants:,} tenants, {batch} at once", value, "x", 0.9, "higher", how, spread)


def _idle_poll(table: Table) -> Figure:
    """An empty poll with two promises over one with none."""
    table.clear()
    calls = [ClaimAndFinish(table, 4, promises) for promises in (PROMISES, {})]
    for call in calls * 25:
        call()
    ratios: list[float] = []
    for _ in until_settled(ratios, at_most=5):
        promised, plain = map(
            statistics.median, zip(*[[seconds_of(call) for call in calls] for _ in range(200)], strict=True)
        )
        ratios.append(promised / plain)
    for call in calls:
        call.close()
    value, spread = median_and_spread(ratios)
    return Figure("empty poll with promises", value, "x", None, "lower", "one statement a promise, over one", spread)
