"""procrastinate with a handler that does nothing: URL fill N, URL work STARTS, or URL produce."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import procrastinate

from dev.bench.peers.recording import Starts, answer_lines

CONCURRENCY = 30


def app_for(url: str, connections: int, record: Callable[[], None] = lambda: None) -> procrastinate.App:
    """Returns an application with the one task of the benchmark."""
    connector = procrastinate.PsycopgConnector(conninfo=url, min_size=1, max_size=connections)
    app = procrastinate.App(connector=connector)

    @app.task(name="noop")
    async def noop() -> None:
        record()

    return app


async def fill(url: str, count: str) -> None:
    """Replaces all jobs by `count` new ones; makes procrastinate's tables first if they are missing."""
    app = app_for(url, 2)
    async with app.open_async():
        found = await app.connector.execute_query_one_async("SELECT to_regclass('procrastinate_jobs') AS jobs")
        if found["jobs"] is None:
            await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs, procrastinate_events CASCADE")
        if jobs := int(count):
            await app.tasks["noop"].batch_defer_async(*({} for _ in range(jobs)))
        await app.connector.execute_query_async("ANALYZE procrastinate_jobs")


async def work(url: str, path: str) -> None:
    """Runs jobs until SIGTERM; polls once a second as a fallback for notifications."""
    starts = Starts(path)
    app = app_for(url, CONCURRENCY + 2, starts.record)
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY, wait=True, fetch_job_polling_interval=1)
    starts.close()


async def produce(url: str) -> None:
    """Adds a job for each line on standard input."""
    app = app_for(url, 1)
    async with app.open_async():
        await answer_lines(app.tasks["noop"].defer_async)


if __name__ == "__main__":
    _, database_url, what, *arguments = sys.argv
    modes: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"fill": fill, "work": work, "produce": produce}
    asyncio.run(modes[what](database_url, *arguments))
