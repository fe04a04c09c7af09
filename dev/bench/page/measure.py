"""What 200 open pages cost the controller, and how long answers take over millions of ended jobs."""

from __future__ import annotations

import random
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

import psycopg

from dev.bench.figures import Figure, median_and_spread, seconds_of
from dev.bench.page.site import POOLS, TYPES, Site, site
from dev.bench.retention import OLD
from dev.bench.settle import until_settled
from dev.bench.table import Table

VIEWERS = 200
WITHIN_SECONDS = 150.0
WINDOW_SECONDS = 10.0
CHANGE_SECONDS = 0.05  # between two new jobs, so that there is something to send at each look
TENANTS = 25  # of each pool, as in the decision on the page
ASKED = 40  # times for each address
FAILED = """
INSERT INTO job_queue (tenant_id, type, status, result, attempts, created_at, completed_at)
SELECT (%(tenants)s::uuid[])[1 + n %% cardinality(%(tenants)s::uuid[])],
       (%(types)s::text[])[1 + n %% cardinality(%(types)s::text[])], 'failed',
       '{"error": {"type": "ValueError", "message": "no such film"}}', 3, at, at
FROM (SELECT n, now() - n * interval '0.1 s' AS at FROM generate_series(1, %(rows)s) AS n) AS one
"""


def measure(table: Table, ended: int) -> list[Figure]:
    """Returns the cost of open pages in cores and in ticks, and seconds of answers over `ended` jobs."""
    _fill(table, ended)
    with site(table.url) as running:
        answers = _answers(table, running, f"{ended:,} ended jobs, {POOLS} pools, {TENANTS} tenants")
        with _changes(table.url):
            return [*_cost(running), *answers]


def _fill(table: Table, ended: int) -> None:
    """A twentieth of the ended jobs has failed, ten a second until now."""
    tenants, failed = table.tenants(TENANTS), ended // 20
    table.clear()
    with table.without_indexes():
        table.run(OLD, tenants=tenants, rows=ended - failed)
        table.run(FAILED, tenants=tenants, types=TYPES, rows=failed)
        table.fill_types(TYPES, POOLS * TENANTS, tenants)
    table.vacuum()


@contextmanager
def _changes(url: str) -> Iterator[None]:
    """Adds a job at a time while the block runs."""
    over = threading.Event()

    def add() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.wait(CHANGE_SECONDS):
                connection.execute(
                    "INSERT INTO job_queue (tenant_id, type) SELECT id, %s FROM tenants LIMIT 1",
                    [random.choice(TYPES)],
                )

    adding = threading.Thread(target=add)
    adding.start()
    try:
        yield
    finally:
        over.set()
        adding.join()


def _cost(running: Site) -> list[Figure]:
    cores: list[float] = []
    ratios: list[float] = []
    for _ in until_settled(cores, ratios, within_seconds=WITHIN_SECONDS):
        cores_without, tick_without = _window(running)
        with running.viewers(VIEWERS):
            cores_with, tick_with = _window(running)
        cores.append(cores_with - cores_without)
        ratios.append(tick_with / tick_without)
    more, more_spread = median_and_spread(cores)
    ratio, ratio_spread = median_and_spread(ratios)
    how = f"beside none, alternating, {WINDOW_SECONDS:g} s each; {POOLS} pools, a new job each {CHANGE_SECONDS:g} s"
    return [
        Figure(f"{VIEWERS} open pages: controller CPU", more, "cores more", 0.05, "lower", how, more_spread),
        Figure(f"{VIEWERS} open pages: duration of a tick", ratio, "x", 1.1, "lower", how, ratio_spread),
    ]


def _window(running: Site) -> tuple[float, float]:
    """Cores that the controller's process uses, and seconds of a tick, on average."""
    started, cpu_seconds, (seconds, ticks) = monotonic(), running.controller.cpu_seconds, running.ticks()
    sleep(WINDOW_SECONDS)
    cores = (running.controller.cpu_seconds - cpu_seconds) / (monotonic() - started)
    seconds_after, ticks_after = running.ticks()
    return cores, (seconds_after - seconds) / (ticks_after - ticks)


def _answers(table: Table, running: Site, how: str) -> list[Figure]:
    row = table.connection.execute("SELECT id, tenant_id FROM job_queue WHERE status = 'failed' LIMIT 1").fetchone()
    assert row is not None
    job, tenant = row
    found = "api/jobs?database=main"
    addresses = {
        "jobs": [
            found, f"{found}&tenant={tenant}", f"{found}&status=failed", f"{found}&status=failed&since=2h",
            f"{found}&type={TYPES[1]}&status=failed", f"{found}&error=no%20such", f"api/jobs/main/{job}",
        ],
        "pool": [f"api/pools/bench/{TYPES[0]}?range=24h", f"api/pools/bench/{TYPES[0]}?range=15m&by=tenant"],
        "tenants": ["api/tenants?database=main", f"api/tenants/main/{tenant}"],
    }  # fmt: skip
    figures = []
    for screen, paths in addresses.items():
        slowest = {path: _p95_seconds(running, path) for path in paths}
        path = max(slowest, key=lambda path: slowest[path])
        which = path.replace(str(tenant), "TENANT").replace(str(job), "ID")
        figures.append(
            Figure(f"page, {screen}: 95th percentile", slowest[path], "s", 0.3, "lower",
                   f"slowest of {len(paths)} addresses, {ASKED} requests each: `{which}`; {how}")
        )  # fmt: skip
    return figures


def _p95_seconds(running: Site, path: str) -> float:
    return statistics.quantiles([seconds_of(lambda: running.get(path)) for _ in range(ASKED)], n=20)[-1]
