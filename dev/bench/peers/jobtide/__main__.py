"""Jobtide with a handler that does nothing: URL fill N, URL work STARTS, or URL produce."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

import psycopg

from dev.bench.peers.recording import answer_lines
from jobtide import enqueue_async
from jobtide.schema import apply

TENANTS = 20
CONCURRENCY = 4
PREFETCH = 496
FILL = """
INSERT INTO job_queue (tenant_id, type)
SELECT lpad(to_hex(1 + n %% %(tenants)s), 32, '0')::uuid, 'bench' FROM generate_series(1, %(jobs)s) AS n
"""
ADD_TENANTS = """
INSERT INTO tenants (id) SELECT lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, %s) AS n ON CONFLICT DO NOTHING
"""


def fill(url: str, count: str) -> None:
    """Replaces all jobs by `count` new ones, evenly of 20 tenants; makes the table first if it is missing."""
    apply(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ADD_TENANTS, [TENANTS])
        connection.execute("TRUNCATE job_queue")
        connection.execute(FILL, {"tenants": TENANTS, "jobs": int(count)})
        connection.execute("VACUUM ANALYZE job_queue")


def work(url: str, path: str) -> None:
    """Becomes `jobtide worker`, with everything on: fence, lease, fairness, metrics, logs at info."""
    os.environ |= {
        "JOBTIDE_DATABASE_URL": url,
        "JOBTIDE_HTTP_PORT": "0",
        "JOBTIDE_CONCURRENCY": str(CONCURRENCY),
        "JOBTIDE_PREFETCH": str(PREFETCH),
        "BENCH_STARTS": path,
    }
    os.execv(sys.executable, [sys.executable, "-m", "jobtide", "worker", "dev.bench.peers.jobtide.app:tide"])


def produce(url: str) -> None:
    """Adds a job for each line on standard input."""
    asyncio.run(_produce(url))


async def _produce(url: str) -> None:
    tenant = f"{1:032x}"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await answer_lines(lambda: enqueue_async(connection, "bench", {}, tenant_id=tenant))


if __name__ == "__main__":
    _, database_url, what, *arguments = sys.argv
    modes: dict[str, Callable[..., None]] = {"fill": fill, "work": work, "produce": produce}
    modes[what](database_url, *arguments)
