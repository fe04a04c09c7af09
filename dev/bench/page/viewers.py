"""Open pages, in a process of their own: `python -m dev.bench.page.viewers BASE TOKEN COUNT` until its stdin ends.

Prints one line when each stream has had its first overview.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp

FIRST = b"event: overview"


async def look(session: aiohttp.ClientSession, base: str, opened: asyncio.Semaphore) -> None:
    """Reads one stream until it is cancelled."""
    unlimited = aiohttp.ClientTimeout(total=None)
    async with session.get(f"{base}api/events", timeout=unlimited) as answer:
        answer.raise_for_status()
        begun = b""
        async for chunk in answer.content.iter_any():
            if FIRST not in begun:
                begun += chunk
                if FIRST in begun:
                    opened.release()


async def main(base: str, token: str, count: int) -> None:
    """One login for all: they share rights and bytes."""
    jar = aiohttp.CookieJar(unsafe=True)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(cookie_jar=jar, connector=connector) as session:
        async with session.post(f"{base}api/login", json={"token": token}) as answer:
            answer.raise_for_status()
        opened = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as streams:
            tasks = [streams.create_task(look(session, base, opened)) for _ in range(count)]
            for _ in range(count):
                await opened.acquire()
            print("open", flush=True)
            await asyncio.to_thread(sys.stdin.read)
            for task in tasks:
                task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
