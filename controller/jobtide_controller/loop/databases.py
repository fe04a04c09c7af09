"""Runs one loop for each database that a pool names, from when the first such pool appears until the last is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from jobtide_controller.loop.database_loop import DatabaseLoop

CHECK_SECONDS = 0.2


class Loops:
    """Starts the loop of a database within CHECK_SECONDS after the first pool names it, and ends it after the last.

    `names` returns the databases that pools name now, `make` builds the loop of one, `ended` is called with the name of
    one that has ended: pools may name any database, so nothing may be kept for a name.
    """

    def __init__(
        self, names: Callable[[], set[str]], make: Callable[[str], DatabaseLoop], ended: Callable[[str], object]
    ) -> None:
        self._names = names
        self._make = make
        self._ended = ended
        self._loops: dict[str, DatabaseLoop] = {}

    async def run(self) -> None:
        tasks: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                names = self._names()
                for name in sorted(names - self._loops.keys()):
                    loop = self._loops[name] = self._make(name)
                    tasks[name] = group.create_task(loop.run(), name=f"database {name}")
                for name in [name for name, loop in self._loops.items() if name not in names and loop.is_over]:
                    tasks.pop(name).cancel()
                    del self._loops[name]
                    self._ended(name)
                await asyncio.sleep(CHECK_SECONDS)

    def beats(self) -> Mapping[str, float]:
        """When each loop last ran, by the monotonic clock in seconds. Any thread may call it."""
        return {f"database {name}": loop.ticked_at for name, loop in list(self._loops.items())}
