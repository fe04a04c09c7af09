"""Claims and ends against the server's own limit, and the turns that tenants get."""

from __future__ import annotations

from time import perf_counter
from uuid import UUID

import psycopg

from dev.bench.figures import Figure, median_and_spread, seconds_of
from dev.bench.table import Table
from jobtide.job import End
from jobtide.job_queue import PostgresJobQueue
from jobtide.ring import Ring
from jobtide.session import Session

REPETITIONS = 3
ROUND_SECONDS = 4.0
OTHERS = 1_000_000  # pending rows of types that the measured worker doesn't want


def measure(table: Table) -> list[Figure]:
    return [*_against_the_ceiling(table), _old_snapshot(table), _idle_poll(table), _fairness(table)]


def _against_the_ceiling(table: Table) -> list[Figure]:
    """One connection: claim + finish one by one, in batches of 50, and the least that two writes can cost."""
    ratios, gains, singles = [], [], []
    tenants = table.tenants(20)
    for _ in range(REPETITIONS):
        table.clear()
        table.fill("bench", 300_000, tenants)
        table.settle()
        ceiling = _commits_per_second(table)
        single = _jobs_per_second(table, batch=1)
        batched = _jobs_per_second(table, batch=50)
        ratios.append(single / ceiling)
        gains.append(batched / single)
        singles.append(single)
    ratio, ratio_spread = median_and_spread(ratios)
    gain, gain_spread = median_and_spread(gains)
    how = f"1 connection, 20 tenants, 300k rows, fsync on, PG {table.server.version}"
    rate = f"; {median_and_spread(singles)[0]:.0f} jobs/s one by one"
    return [
        Figure("claim + finish one by one, of the commit ceiling", ratio, "x", 0.35, "higher",
               f"jobs/s over single-row updates by primary key/s; {how}{rate}", ratio_spread),
        Figure("claim + finish in batches of 50, over one by one", gain, "x", 10, "higher", how, gain_spread),
    ]  # fmt: skip


def _commits_per_second(table: Table) -> float:
    """Single-row updates by primary key, each its own transaction: no queue can commit faster."""
    ids = [row[0] for row in table.connection.execute("SELECT id FROM job_queue LIMIT 50000")]
    with psycopg.connect(table.url, autocommit=True) as connection:
        return _rate(lambda turn: _touch(connection, ids[turn % len(ids)]))


def _touch(connection: psycopg.Connection, id_: UUID) -> int:
    connection.execute("UPDATE job_queue SET attempts = attempts WHERE id = %s", [id_])
    return 1


def _jobs_per_second(table: Table, *, batch: int) -> float:
    queue = _queue(table)
    ring, per_key = Ring(("bench",)), batch

    def turn(_: int) -> int:
        nonlocal ring, per_key
        claim = queue.claim(ring, batch, per_key)
        ring, per_key = claim.ring, claim.rows_per_key
        queue.finish([End(job, "completed", "{}") for job in claim.jobs])
        return len(claim.jobs)

    try:
        return _rate(turn)
    finally:
        queue.close()


def _rate(turn: object) -> float:
    assert callable(turn)
    done, turns, started = 0, 0, perf_counter()
    while (elapsed := perf_counter() - started) < ROUND_SECONDS:
        done += turn(turns)
        turns += 1
    return done / elapsed


def _old_snapshot(table: Table) -> Figure:
    """The rate beside 300,000 claimed rows that an old snapshot keeps from being vacuumed, against the rate before."""
    ratios = []
    for _ in range(REPETITIONS):
        table.clear()
        table.fill("bench", 600_000, table.tenants(20))
        table.settle()
        before = _jobs_per_second(table, batch=50)
        with psycopg.connect(table.url) as old:
            old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            old.execute("SELECT count(*) FROM job_queue")
            _drain(table, 300_000)
            ratios.append(_jobs_per_second(table, batch=50) / before)
    value, spread = median_and_spread(ratios)
    how = "batches of 50, 20 tenants: jobs/s after 300k claims under a REPEATABLE READ snapshot, over before"
    return Figure("rate under an old snapshot", value, "x", 0.85, "higher", how, spread)


def _drain(table: Table, jobs: int) -> None:
    queue = _queue(table)
    ring, per_key = Ring(("bench",)), 500
    while jobs > 0:
        claim = queue.claim(ring, 500, per_key)
        ring, per_key = claim.ring, claim.rows_per_key
        jobs -= len(queue.finish([End(job, "completed", "{}") for job in claim.jobs]))
    queue.close()


def _idle_poll(table: Table) -> Figure:
    """An empty look for a rare type while a million rows of others wait, after more looks than a plan cache needs."""
    tenants = table.tenants(1_000)
    table.clear()
    for number in range(10):
        table.fill(f"other.{number}", OTHERS // 10, tenants)
    table.settle()
    queue = _queue(table)
    ring = Ring(("rare",))
    for _ in range(25):
        queue.claim(ring, 4, 4)
    looks = [seconds_of(lambda: queue.claim(ring, 4, 4)) * 1e3 for _ in range(200)]
    queue.close()
    value, spread = median_and_spread(looks)
    how = f"claim of an absent type, {OTHERS:,} pending rows of 10 other types and 1,000 tenants, after 25 looks"
    return Figure("idle poll on a rare type", value, "ms", 1.0, "lower", how, spread)


def _fairness(table: Table) -> Figure:
    """Claims until the last of 999 tenants with one job each is served, beside one tenant with a million."""
    first, *others = table.tenants(1_000)
    table.clear()
    table.fill("bench", 1_000_000, [first])
    table.fill("bench", len(others), others)
    table.settle()
    queue = _queue(table)
    ring, per_key, waiting, claims = Ring(("bench",)), 1, set(others), 0
    while waiting:
        claim = queue.claim(ring, 1, per_key)
        ring, per_key = claim.ring, claim.rows_per_key
        claims += len(claim.jobs)
        waiting -= {job.tenant_id for job in claim.jobs}
    queue.close()
    how = "1 tenant with 1M rows, 999 with one each, one worker: claims until all 999 are served / 999"
    return Figure("fairness", claims / len(others), "x", 1.1, "lower", how)


def _queue(table: Table) -> PostgresJobQueue:
    return PostgresJobQueue(Session(lambda: table.url), pod_uid="bench", lease_seconds=600)
