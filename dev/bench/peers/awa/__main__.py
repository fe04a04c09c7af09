"""awa with a handler that does nothing: URL fill N, URL work STARTS, or URL produce."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from awa import AsyncClient, Job, migrate

from dev.bench.peers.recording import Starts, answer_lines

WORKERS = 256
QUEUE = "bench"


@dataclass
class Noop:
    """The arguments of the one job kind."""


async def fill(url: str, count: str) -> None:
    """Replaces all jobs by `count` new ones; makes awa's tables first if they are missing."""
    await migrate(url)
    client = AsyncClient(url)
    await client.install_queue_storage(reset=True)
    if jobs := int(count):
        await client.enqueue_many_copy([Noop()] * jobs, queue=QUEUE)
    await client.close()


async def work(url: str, path: str) -> None:
    """Runs jobs until SIGTERM."""
    starts = Starts(path)
    client = AsyncClient(url)

    @client.task(Noop, queue=QUEUE)
    async def noop(_: Job[Noop]) -> None:
        starts.record()

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await client.start([(QUEUE, WORKERS)])
    await ended.wait()
    await client.shutdown()
    starts.close()


async def produce(url: str) -> None:
    """Adds a job for each line on standard input."""
    client = AsyncClient(url)
    await answer_lines(lambda: client.insert(Noop(), queue=QUEUE))


if __name__ == "__main__":
    _, database_url, what, *arguments = sys.argv
    modes: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"fill": fill, "work": work, "produce": produce}
    asyncio.run(modes[what](database_url, *arguments))
