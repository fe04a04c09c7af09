"""Claims and finishes against the server's own limit, and while an old snapshot is open."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter
from uuid import UUID

import psycopg

from dev.bench.figures import Figure, median_and_spread, seconds_of
from dev.bench.settle import until_settled
from dev.bench.table import Table
from jobtide.job import End
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session

ROUND_SECONDS = 3.0
TENANTS = 20
MANY_TENANTS = 1_000
MARKED_ROWS = 60  # of each tenant, until the worker has its low-water marks (low_water.py)
BATCH = 50
ROUNDS = 80
OLD_ROWS = 300_000
# What other workers would complete in the meantime: the first rows of each tenant.
TAKE = """
UPDATE job_queue SET status = 'completed', completed_at = now() WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY tenant_id ORDER BY created_at, id) AS place
        FROM job_queue WHERE status = 'pending') AS waiting
    WHERE place <= %(rows)s)
"""
LIMITED_POOL = "bench/limited"
LEAST_UNDER_CAPS = 0.77  # at most 1.3 times the cost
LIMIT_ALL = """
WITH headed AS (
    INSERT INTO jobtide_pool_limits VALUES ('bench/limited', NULL, '{}'), ('', NULL, '{""}') ON CONFLICT DO NOTHING
)
INSERT INTO jobtide_tenant_limits
SELECT '', tenants.id, '', 1000 FROM tenants ON CONFLICT DO NOTHING
"""


def measure(table: Table) -> list[Figure]:
    """Returns what one job costs over a single-row update, and what batches, caps and an old snapshot change."""
    return [
        *_against_the_ceiling(table),
        *(_under_caps(table, tenants) for tenants in (TENANTS, MANY_TENANTS)),
        *(_old_snapshot(table, tenants) for tenants in (TENANTS, MANY_TENANTS)),
    ]


class ClaimAndFinish:
    """Claims a batch and finishes it, as a worker with one connection would."""

    def __init__(self, table: Table, batch: int, pool: str | None = None) -> None:
        self._queue = PostgresJobQueue(Session(lambda: table.url), pod_uid="bench", lease_seconds=600, pool=pool)
        self._batch = batch
        self._ring, self._per_key = Ring(("bench",)), batch

    def __call__(self) -> int:
        claim = self._queue.claim(self._ring, self._batch, self._per_key)
        self._ring, self._per_key = claim.ring, claim.rows_per_key
        self._queue.finish([End(job, "completed", "{}") for job in claim.jobs])
        return len(claim.jobs)

    def close(self) -> None:
        self._queue.close()


def _against_the_ceiling(table: Table) -> list[Figure]:
    """Claim + finish one by one, in batches of 50, and the cheapest possible write, alternating on one core."""
    ratios: list[float] = []
    gains: list[float] = []
    singles: list[float] = []
    for _ in until_settled(ratios, gains):
        table.refill("bench", 100_000, table.tenants(TENANTS))
        ceiling, single, batched = _seconds_each(table)
        ratios.append(ceiling / single)
        gains.append(single / (batched / BATCH))
        singles.append(1 / single)
    ratio, ratio_spread = median_and_spread(ratios)
    gain, gain_spread = median_and_spread(gains)
    how = f"1 connection, {TENANTS} tenants"
    return [
        Figure("claim + finish one by one, of the commit ceiling", ratio, "x", 0.35, "higher",
               f"over single-row updates by primary key; {how}; "
               f"{statistics.median(singles):,.0f} jobs/s one by one", ratio_spread),
        Figure("claim + finish in batches of 50, over one by one", gain, "x", 10, "higher", how, gain_spread),
    ]  # fmt: skip


def _seconds_each(table: Table) -> tuple[float, float, float]:
    """Median seconds of a single-row update, of one job, of one batch."""
    ids = [row[0] for row in table.connection.execute("SELECT id FROM job_queue ORDER BY id LIMIT 20000")]
    single, batched = ClaimAndFinish(table, 1), ClaimAndFinish(table, BATCH)
    with psycopg.connect(table.url, autocommit=True) as connection:
        calls: list[Callable[[], object]] = [lambda: _touch(connection, ids), single, batched]
        for call in calls * 20:  # so that plans are cached
            call()
        seconds: list[list[float]] = [[], [], []]
        started = perf_counter()
        while perf_counter() - started < ROUND_SECONDS:
            for call, spent in zip(calls, seconds, strict=True):
                spent.append(seconds_of(call))
    single.close()
    batched.close()
    touch, one, many = map(statistics.median, seconds)
    return touch, one, many


def _touch(connection: psycopg.Connection, ids: list[UUID]) -> None:
    connection.execute("UPDATE job_queue SET attempts = attempts WHERE id = %s", [ids.pop()])


def _under_caps(table: Table, tenants: int) -> Figure:
    """The rate under caps that no tenant reaches, over the rate without one, alternating: the price of exactness.

    Each tenant has a cap of its own in the table, as from a view over the users' plans.
    """
    table.refill("bench", 200_000, table.tenants(tenants))
    table.run(LIMIT_ALL)
    calls = [ClaimAndFinish(table, BATCH, pool) for pool in (LIMITED_POOL, None)]
    for call in calls * 20:  # so that plans are cached
        call()
    ratios: list[float] = []
    for _ in until_settled(ratios, at_most=5):
        capped, free = (statistics.median(seconds_of(call) for _ in range(ROUNDS)) for call in calls)
        ratios.append(free / capped)
    for call in calls:
        call.close()
    value, spread = median_and_spread(ratios)
    how = f"batches of {BATCH}; each tenant with a cap of 1,000 jobs at once of its own, over none"
    return Figure(
        f"rate under an exact tenant cap, {tenants:,} tenants", value, "x", LEAST_UNDER_CAPS, "higher", how, spread
    )


def _old_snapshot(table: Table, tenants: int) -> Figure:
    """The rate beside 300,000 completed rows that an old snapshot keeps from vacuum, against the rate before."""
    ratios: list[float] = []
    for _ in until_settled(ratios, at_most=5):
        table.refill("bench", OLD_ROWS + 250_000, table.tenants(tenants))
        claim_and_finish = ClaimAndFinish(table, BATCH)
        before = _rate_after_a_checkpoint(table, claim_and_finish)
        with psycopg.connect(table.url) as old:
            old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            old.execute("SELECT count(*) FROM job_queue")
            table.run(TAKE, rows=OLD_ROWS // tenants)
            for _ in range(tenants * MARKED_ROWS // BATCH):
                claim_and_finish()
            ratios.append(_rate_after_a_checkpoint(table, claim_and_finish) / before)
        claim_and_finish.close()
    value, spread = median_and_spread(ratios)
    how = f"{OLD_ROWS:,} dead rows over none, batches of {BATCH}"
    return Figure(f"rate under an old snapshot, {tenants:,} tenants", value, "x", 0.9, "higher", how, spread)


def _rate_after_a_checkpoint(table: Table, claim_and_finish: ClaimAndFinish) -> float:
    """The first write to a page after a checkpoint logs the whole page: both rates pay that, or neither."""
    for _ in range(20):  # so that plans are cached
        claim_and_finish()
    table.run("CHECKPOINT")
    return jobs_per_second(claim_and_finish)


def jobs_per_second(run: Callable[[], int], seconds: float = ROUND_SECONDS) -> float:
    """Repeats `run`, which returns the number of jobs that it did, for this time; returns the mean rate."""
    done, started = 0, perf_counter()
    while (elapsed := perf_counter() - started) < seconds:
        done += run()
    return done / elapsed
