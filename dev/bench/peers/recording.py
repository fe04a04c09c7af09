"""What the programs in Python share: the file of the starts, and the three things that a program can do."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

FLUSH_EVERY_MICROSECONDS = 100_000


def microseconds() -> int:
    """Returns the time since 1970, in microseconds."""
    return time.time_ns() // 1_000


class Starts:
    """Writes the moment of each start of a job, in microseconds: at most ten times a second, and when it is closed."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("w", encoding="ascii")  # noqa: SIM115 - it lives as long as the process
        self._pending: list[int] = []
        self._flushed = 0
        self._writing = threading.Lock()  # handlers may be threads

    def record(self) -> None:
        now = microseconds()
        self._pending.append(now)
        if now - self._flushed > FLUSH_EVERY_MICROSECONDS:
            self._flushed = now
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        with self._writing:
            written, self._pending = self._pending, []
            self._file.writelines(f"{at}\n" for at in written)
            self._file.flush()


async def answer_lines(add: Callable[[], Awaitable[object]]) -> None:
    """Calls `add` for each line on standard input, and answers with the moment before, in microseconds."""
    while await asyncio.to_thread(sys.stdin.readline):
        before = microseconds()
        await add()
        print(before, flush=True)
