"""procrastinate with a handler that does nothing: `run_procrastinate.py URL enqueue N` or `... work CONCURRENCY`."""

from __future__ import annotations

import asyncio
import sys

import procrastinate


def app_for(url: str, connections: int) -> procrastinate.App:
    """Returns an application with the one task of the benchmark, which does nothing."""
    connector = procrastinate.PsycopgConnector(conninfo=url, min_size=1, max_size=connections)
    app = procrastinate.App(connector=connector)

    @app.task(name="noop")
    async def noop() -> None:
        pass

    return app


async def enqueue(url: str, count: int) -> None:
    """Replaces all jobs by `count` new ones; makes procrastinate's tables first if they are missing."""
    app = app_for(url, 2)
    async with app.open_async():
        found = await app.connector.execute_query_one_async("SELECT to_regclass('procrastinate_jobs') AS jobs")
        if found["jobs"] is None:
            await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs, procrastinate_events CASCADE")
        await app.tasks["noop"].batch_defer_async(*({} for _ in range(count)))
        await app.connector.execute_query_async("ANALYZE procrastinate_jobs")


async def work(url: str, concurrency: int) -> None:
    """Runs jobs until SIGTERM; polls once a second as a fallback for notifications."""
    app = app_for(url, concurrency + 2)
    async with app.open_async():
        await app.run_worker_async(concurrency=concurrency, wait=True, fetch_job_polling_interval=1)


if __name__ == "__main__":
    _, database_url, what, number = sys.argv
    asyncio.run({"enqueue": enqueue, "work": work}[what](database_url, int(number)))
