"""A whole worker at 500 jobs a second while an old transaction keeps every dead row: does it get slower?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from dev.bench.figures import Figure
from dev.bench.loaded import TENANTS, feed, wait_for_all, warm_up, worker
from dev.bench.table import Table

JOBS_PER_SECOND = 500
WINDOWS = 10
CURVE = """
SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(EPOCH FROM completed_at - created_at)) * 1e3
FROM job_queue, (SELECT min(created_at) AS at FROM job_queue) AS first
GROUP BY least(%(windows)s, 1 + floor(extract(EPOCH FROM created_at - first.at) / %(seconds)s * %(windows)s))
ORDER BY min(created_at)
"""


def measure(table: Table, seconds: float) -> list[Figure]:
    """Returns the 99th percentile from insert to completed in the last tenth of the time, over that of the first."""
    table.clear()
    table.vacuum()
    table.tenants(TENANTS)
    with worker(table):
        warm_up(table)
        with _old_snapshot(table.url):
            feed(table, JOBS_PER_SECOND, seconds)
            wait_for_all(table)
    rows = table.connection.execute(CURVE, {"windows": WINDOWS, "seconds": seconds}).fetchall()
    curve = [float(milliseconds) for (milliseconds,) in rows]
    return [
        Figure(
            f"p99 after {seconds / 60:g} min under a pinned snapshot, over that of the beginning", curve[-1] / curve[0],
            "x", 2, "lower",
            f"insert to completed, {JOBS_PER_SECOND} jobs/s with handlers of 1 ms, one worker, {TENANTS} tenants; "
            f"tenths of the time: {', '.join(f'{one:.0f}' for one in curve)} ms",
        )
    ]  # fmt: skip


@contextmanager
def _old_snapshot(url: str) -> Iterator[None]:
    """A transaction from before all rows: no vacuum may remove one that has died since."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM job_queue")
        yield
