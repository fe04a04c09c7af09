"""PgQueuer with a handler that does nothing: URL fill N, URL work STARTS, or URL produce."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, Job, PgQueuer, Queries

from dev.bench.peers.recording import Starts, answer_lines

BATCH = 500


async def fill(url: str, count: str) -> None:
    """Replaces all jobs by `count` new ones; makes PgQueuer's tables first if they are missing."""
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    if not await queries.has_table("pgqueuer"):
        await queries.install()
    await connection.execute("TRUNCATE pgqueuer, pgqueuer_log")
    if jobs := int(count):
        await queries.enqueue(["noop"] * jobs, [b"{}"] * jobs, [0] * jobs)
    await connection.execute("VACUUM ANALYZE pgqueuer")
    await connection.close()


async def work(url: str, path: str) -> None:
    """Runs jobs until SIGTERM."""
    starts = Starts(path)
    connection = await asyncpg.connect(url)
    queue = PgQueuer(AsyncpgDriver(connection))

    @queue.entrypoint("noop")
    async def noop(_: Job) -> None:
        starts.record()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queue.shutdown.set)
    await queue.run(dequeue_timeout=timedelta(seconds=1), batch_size=BATCH)
    starts.close()


async def produce(url: str) -> None:
    """Adds a job for each line on standard input."""
    queries = Queries(AsyncpgDriver(await asyncpg.connect(url)))
    await answer_lines(lambda: queries.enqueue("noop", b"{}", 0))


if __name__ == "__main__":
    _, database_url, what, *arguments = sys.argv
    modes: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"fill": fill, "work": work, "produce": produce}
    uvloop.run(modes[what](database_url, *arguments))
