"""A whole worker at a steady load: from the insert to the completed row, and the log that a job writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dev.bench.brief import TYPE
from dev.bench.figures import Figure
from dev.bench.table import Table
from dev.machine.wait import wait_until

TENANTS = 20
CONCURRENCY = 8
PREFETCH = 32
JOBS = 20_000  # of the run that finds the highest rate
SECONDS = 10.0  # of a run at a steady load
EVERY_SECONDS = 0.01  # between two inserts of that run
SHARES = (0.5, 0.9)
INSERT = """
INSERT INTO job_queue (tenant_id, type)
SELECT (%(tenants)s::uuid[])[1 + n %% cardinality(%(tenants)s::uuid[])], %(type)s FROM generate_series(1, %(rows)s) AS n
"""
# Without the start of the worker: from the first fifth of the ends on.
RATE = """
SELECT count(*) / extract(EPOCH FROM max(completed_at) - min(completed_at))::float8
FROM (SELECT completed_at FROM job_queue ORDER BY completed_at OFFSET (SELECT count(*) / 5 FROM job_queue)) AS ended
"""
WAITS = """
SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(EPOCH FROM completed_at - created_at)) AS waits
FROM job_queue
"""


def measure(table: Table) -> list[Figure]:
    """Returns the 99th percentile from insert to completed at parts of the highest rate, and the log of a job."""
    highest, wal = _highest_rate(table)
    how = f"1 worker of {CONCURRENCY} jobs at once, handlers of 1 ms; highest rate {highest:,.0f} jobs/s"
    figures = [_waits(table, highest, share, how) for share in SHARES]
    return [*figures, Figure("log (WAL) of a job", wal, "B", 1_305, "lower", "claim and end, by the same worker")]


def _highest_rate(table: Table) -> tuple[float, float]:
    """Jobs a second, and bytes of log a job, while a full queue is worked off."""
    table.clear()
    table.fill(TYPE, JOBS, table.tenants(TENANTS))
    table.run("VACUUM (ANALYZE) job_queue")  # no checkpoint: the first write to each page would log the whole page
    before = _one(table, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    with worker(table):
        wait_for_all(table)
        log = _one(table, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn") - before
    return _one(table, RATE), log / JOBS


def _waits(table: Table, highest: float, share: float, how: str) -> Figure:
    table.clear()
    with worker(table):
        warm_up(table)
        feed(table, highest * share, SECONDS)
        wait_for_all(table)
    row = table.connection.execute(WAITS).fetchone()
    assert row is not None
    half, most = (float(seconds) * 1e3 for seconds in row[0])
    name = f"insert to completed, p99, at {share:g} of the highest rate"
    return Figure(name, most, "ms", 50, "lower", f"{how}; median {half:.1f} ms")


def warm_up(table: Table) -> None:
    """Until the worker has done some jobs; without a trace of them."""
    table.run(INSERT, tenants=table.tenants(TENANTS), type=TYPE, rows=TENANTS)
    wait_for_all(table)
    table.run("DELETE FROM job_queue")


def feed(table: Table, jobs_per_second: float, seconds: float) -> None:
    """Adds jobs of all tenants, a few at a time."""
    tenants = table.tenants(TENANTS)
    started, added = time.monotonic(), 0
    while (elapsed := time.monotonic() - started) < seconds:
        rows = int(jobs_per_second * elapsed) - added
        table.run(INSERT, tenants=tenants, type=TYPE, rows=rows)
        added += rows
        time.sleep(EVERY_SECONDS)


@contextmanager
def worker(table: Table) -> Iterator[None]:
    """A worker process with handlers of 1 ms; it drains at the end."""
    environment = os.environ | {
        "JOBTIDE_DATABASE_URL": table.url,
        "JOBTIDE_HTTP_PORT": "0",
        "JOBTIDE_CONCURRENCY": str(CONCURRENCY),
        "JOBTIDE_PREFETCH": str(PREFETCH),
    }
    command = [sys.executable, "-m", "jobtide", "worker", "dev.bench.brief:tide"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def wait_for_all(table: Table) -> None:
    """Until no job is pending or running. Raises after a minute."""
    wait_until(
        "the end of the jobs",
        lambda: not _one(table, "SELECT EXISTS (SELECT FROM job_queue WHERE status IN ('pending', 'processing'))::int"),
        within_seconds=60,
        poll_seconds=0.05,
    )


def _one(table: Table, query: str) -> float:
    row = table.connection.execute(query.encode()).fetchone()
    assert row is not None
    return float(row[0])
