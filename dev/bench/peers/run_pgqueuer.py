"""pgqueuer with a handler that does nothing: `run_pgqueuer.py URL enqueue N` or `run_pgqueuer.py URL work BATCH`."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, Job, PgQueuer, Queries


async def enqueue(url: str, count: int) -> None:
    """Replaces all jobs by `count` new ones; makes pgqueuer's tables first if they are missing."""
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    if not await queries.has_table("pgqueuer"):
        await queries.install()
    await connection.execute("TRUNCATE pgqueuer, pgqueuer_log")
    await queries.enqueue(["noop"] * count, [b"{}"] * count, [0] * count)
    await connection.execute("VACUUM ANALYZE pgqueuer")
    await connection.close()


async def work(url: str, batch: int) -> None:
    """Runs jobs until SIGTERM. `batch` is the number of jobs in one claim."""
    connection = await asyncpg.connect(url)
    queue = PgQueuer(AsyncpgDriver(connection))

    @queue.entrypoint("noop")
    async def noop(_: Job) -> None:
        pass

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queue.shutdown.set)
    await queue.run(dequeue_timeout=timedelta(seconds=1), batch_size=batch)


if __name__ == "__main__":
    _, database_url, what, number = sys.argv
    uvloop.run({"enqueue": enqueue, "work": work}[what](database_url, int(number)))
