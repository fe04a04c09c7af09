"""Claims beside the deletion of ended jobs, over claims alone, while millions of old jobs go."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from dev.bench.claims import ClaimAndFinish, jobs_per_second
from dev.bench.figures import Figure, median_and_spread
from dev.bench.settle import until_settled
from dev.bench.table import Table
from dev.machine.errors import DevError
from jobtide_controller.api.base import DAY_SECONDS
from jobtide_controller.decide.reading import Reading
from jobtide_controller.decide.retention import Policy
from jobtide_controller.loop.changes import Changes
from jobtide_controller.loop.pools import Pools
from jobtide_controller.loop.retention import Deleter
from jobtide_controller.loop.term import DatabaseState
from jobtide_controller.postgres.database import Database
from jobtide_controller.postgres.readings import Limits
from jobtide_controller.postgres.urls import DatabaseUrls
from jobtide_controller.telemetry.events import EndedDeleted, Event

AT_MOST = 15
WINDOW_SECONDS = 3.0
TENANTS = 20
BATCH = 50
WAITING = 1_500_000  # more than a quiet machine does in all windows
OLD = """
INSERT INTO job_queue (tenant_id, type, status, result, attempts, created_at, completed_at)
SELECT (%(tenants)s::uuid[])[1 + n %% cardinality(%(tenants)s::uuid[])], 'bench', 'completed', '{"pages": 3}', 1, at, at
FROM (
    SELECT n, now() - interval '8 days' - (%(rows)s - n) * interval '0.5 s' AS at FROM generate_series(1, %(rows)s) AS n
) AS one
"""


def measure(table: Table, old: int) -> list[Figure]:
    """Returns the rate of claims beside the deletion of `old` completed jobs, and how fast these go."""
    _fill(table, old)
    claim_and_finish = ClaimAndFinish(table, BATCH)
    jobs_per_second(claim_and_finish, WINDOW_SECONDS)  # so that plans and pages are in memory
    ratios: list[float] = []
    rates: list[float] = []
    shares: list[float] = []
    for _ in until_settled(ratios, rates, shares, at_most=AT_MOST):
        alone = jobs_per_second(claim_and_finish, WINDOW_SECONDS)
        with _deleting(table) as batches:
            started = monotonic()
            beside = jobs_per_second(claim_and_finish, WINDOW_SECONDS)
            seconds = monotonic() - started
        ratios.append(beside / alone)
        rates.append(sum(batch.jobs for batch in batches) / seconds)
        shares.append(sum(batch.seconds for batch in batches) / seconds)
    if not claim_and_finish():
        raise DevError(f"all of {WAITING:,} waiting jobs were done before the last window ended: fill more")
    claim_and_finish.close()
    ratio, ratio_spread = median_and_spread(ratios)
    rate, rate_spread = median_and_spread(rates)
    share, share_spread = median_and_spread(shares)
    how = f"batches of {BATCH}, {TENANTS} tenants, alternating, {WINDOW_SECONDS:g} s each, beside {old:,} old jobs"
    return [
        Figure("retention: claims beside it", ratio, "x", 0.9, "higher", how, ratio_spread),
        Figure("retention: its part of a core", share, "cores", 0.05, "lower", "duration of statements", share_spread),
        Figure("retention: jobs deleted", rate, "jobs/s", None, "higher", "at the same time", rate_spread),
    ]  # fmt: skip


def _fill(table: Table, old: int) -> None:
    tenants = table.tenants(TENANTS)
    table.clear()
    with table.without_indexes():
        table.run(OLD, tenants=tenants, rows=old)
        table.fill("bench", WAITING, tenants)
    table.vacuum()


@contextmanager
def _deleting(table: Table) -> Iterator[list[EndedDeleted]]:
    """Runs one pass in a thread of its own, as the controller is a process of its own; the batches that it deletes."""
    batches: list[EndedDeleted] = []

    def emit(event: Event) -> None:
        if isinstance(event, EndedDeleted):
            batches.append(event)

    state = DatabaseState(None)
    state.reading = Reading(0.0, {})
    state.retention.policy = Policy({"bench": 7 * DAY_SECONDS})
    over = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench").mkdir()
        Path(folder, "bench", "url").write_text(table.url)
        database = Database("bench", DatabaseUrls(Path(folder)), Limits())
        deleter = Deleter(database, Pools(Changes()), emit)
        running = threading.Thread(target=lambda: asyncio.run(deleter.run_pass(state, lambda: not over.is_set())))
        running.start()
        try:
            yield batches
        finally:
            over.set()
            running.join()
            database.close()
