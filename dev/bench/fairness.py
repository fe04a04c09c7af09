"""How evenly tenants are served, what that costs against first in, first out, and an empty poll of a full table."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from uuid import UUID

import psycopg

from dev.bench.claims import ClaimAndFinish
from dev.bench.figures import Figure, median_and_spread, seconds_of
from dev.bench.settle import until_settled
from dev.bench.table import Table
from jobtide.job import End, Job
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session

MANY = 1_000_000
BATCH = 50
ROUNDS = 80

# The same lease and the same end, but the oldest row first instead of one tenant after the other.
FIFO_CLAIM = """
UPDATE job_queue
SET status = 'processing', worker_id = 'fifo', attempts = attempts + 1, next_retry_at = now() + interval '600 s'
WHERE id = ANY(ARRAY(
    SELECT id FROM job_queue WHERE status = 'pending' AND type = 'bench'
    ORDER BY created_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED))
RETURNING id, tenant_id, type, payload, attempts
"""
# The simplest statement that completes jobs: no fence, no batch of results.
BARE_FINISH = "UPDATE job_queue SET status = 'completed', result = '{}', completed_at = now() WHERE id = ANY(%s)"


def measure(table: Table) -> list[Figure]:
    """Returns the cost of an empty poll, the claims that fairness needs, and its rate over first in, first out."""
    first, *others = table.tenants(1_000)
    table.clear()
    table.fill("bench", MANY, [first])
    table.fill("bench", len(others), others)
    table.vacuum()
    figures = [_idle_poll(table), _fairness(table, others), *_against_fifo(table, "1 tenant")]
    table.refill("bench", MANY // 10, [first, *others])
    return [*figures, *_against_fifo(table, "1,000 tenants")]


def _idle_poll(table: Table) -> Figure:
    """An empty poll for a rare type beside a million rows of another, after more polls than a plan cache needs."""
    queue = PostgresJobQueue(Session(lambda: table.url), pod_uid="bench", lease_seconds=600)
    ring = Ring(("rare",))
    for _ in range(25):
        queue.claim(ring, 4, 4)
    polls = [seconds_of(lambda: queue.claim(ring, 4, 4)) * 1e3 for _ in range(200)]
    queue.close()
    value, spread = median_and_spread(polls)
    how = f"beside {MANY:,} pending rows of 1,000 tenants"
    return Figure("idle poll on a rare type", value, "ms", 1.0, "lower", how, spread)


def _fairness(table: Table, others: list[UUID]) -> Figure:
    """Claims until the last of 999 tenants with one job each is served, beside one tenant with a million."""
    queue = PostgresJobQueue(Session(lambda: table.url), pod_uid="bench", lease_seconds=600)
    ring, per_key, waiting, claims = Ring(("bench",)), 1, set(others), 0
    while waiting:
        claim = queue.claim(ring, 1, per_key)
        ring, per_key = claim.ring, claim.rows_per_key
        claims += len(claim.jobs)
        waiting -= {job.tenant_id for job in claim.jobs}
    queue.close()
    how = "claims until 999 tenants with one row are served, beside one with 1M; over 999"
    return Figure("fairness", claims / len(others), "x", 1.1, "lower", how)


def _against_fifo(table: Table, tenants: str) -> list[Figure]:
    over_fifo: list[float] = []
    over_bare: list[float] = []
    for _ in until_settled(over_fifo, over_bare):
        fair, fifo, bare = _seconds_each(table)
        over_fifo.append(fifo / fair)
        over_bare.append(bare / fair)
    how = f"batches of {BATCH}"
    value, spread = median_and_spread(over_fifo)
    bare_value, bare_spread = median_and_spread(over_bare)
    return [
        Figure(f"fair rate over FIFO rate, {tenants}", value, "x", 0.8, "higher",
               f"{how}, same lease and fenced end", spread),
        Figure(f"fair rate over a bare loop, {tenants}", bare_value, "x", None, "higher",
               f"{how}, no fence, no job objects", bare_spread),
    ]  # fmt: skip


def _seconds_each(table: Table) -> tuple[float, float, float]:
    """Median seconds of one batch: fair, FIFO, bare."""
    fair = ClaimAndFinish(table, BATCH)
    queue = PostgresJobQueue(Session(lambda: table.url), pod_uid="bench", lease_seconds=600)
    with psycopg.connect(table.url, autocommit=True) as connection:
        calls: list[Callable[[], object]] = [fair, lambda: _fifo(connection, queue), lambda: _bare(connection)]
        for call in calls * 20:  # so that plans are cached
            call()
        seconds = [[seconds_of(call) for call in calls] for _ in range(ROUNDS)]
    queue.close()
    fair.close()
    one, two, three = map(statistics.median, zip(*seconds, strict=True))
    return one, two, three


def _fifo(connection: psycopg.Connection, queue: PostgresJobQueue) -> None:
    rows = connection.execute(FIFO_CLAIM, [BATCH]).fetchall()
    jobs = [Job(id_, tenant, type_, payload, attempt, "fifo") for id_, tenant, type_, payload, attempt in rows]
    queue.finish([End(job, "completed", "{}") for job in jobs])


def _bare(connection: psycopg.Connection) -> None:
    connection.execute(BARE_FINISH, [[row[0] for row in connection.execute(FIFO_CLAIM, [BATCH])]])
