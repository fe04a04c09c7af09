"""Runs one loop for each database that a pool names, from when the first such pool appears."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from jobtide_controller.loop.database_loop import DatabaseLoop

CHECK_SECONDS = 0.2


class Loops:
    """Starts the loop of a database within CHECK_SECONDS after the first pool names it; no loop ends by itself.

    `names` returns the databases that pools name now, `make` builds the loop of one. A loop without pools holds no
    connection.
    """

    def __init__(self, names: Callable[[], set[str]], make: Callable[[str], DatabaseLoop]) -> None:
        self._names = names
        self._make = make
        self._loops: dict[str, DatabaseLoop] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                for name in sorted(self._names() - self._loops.keys()):
                    loop = self._loops[name] = self._make(name)
                    group.create_task(loop.run(), name=f"database {name}")
                await asyncio.sleep(CHECK_SECONDS)

    def beats(self) -> Mapping[str, float]:
        """When each loop last ran, by the monotonic clock in seconds. Any thread may call it."""
        return {f"database {name}": loop.ticked_at for name, loop in list(self._loops.items())}
