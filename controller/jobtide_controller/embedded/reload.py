"""Looks at the application's files twice a second, and has workers replaced when one changes.

It polls: the files are few and known by name, so a look costs less than a millisecond, and polling works on every
file system, also on those of containers and networks, which report no changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from jobtide.errors import LoadError
from jobtide_controller.embedded.inspection import Application, BrokenError

POLL_SECONDS = 0.5

State = dict[Path, tuple[int, int] | None]


class Reloader:
    """`inspect` imports the application in a process of its own; `replace` gets it once it works."""

    def __init__(
        self,
        application: Application,
        inspect: Callable[[], Awaitable[Application]],
        replace: Callable[[Application], None],
        broken: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        """`broken` gets the words about an application that can't be used as its files are now."""
        self._inspect = inspect
        self._replace = replace
        self._broken = broken
        self._say = say
        self._seen = state_of(application.files)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.run_once()

    async def run_once(self) -> None:
        """One look. Files that still change are looked at again, so that a half-written one is not imported."""
        now = state_of(self._seen)
        if now == self._seen:
            return
        changed = sorted(path.name for path in now if now[path] != self._seen[path])
        await asyncio.sleep(POLL_SECONDS / 5)
        if state_of(self._seen) != now:
            return
        self._seen = now
        try:
            application = await self._inspect()
            self._follow(application.files)
            self._replace(application)
        except LoadError as error:
            self._follow({*self._seen, *(error.files if isinstance(error, BrokenError) else ())})
            self._say(f"not reloaded, the workers keep the old code: {error}")
            self._broken(str(error))
            return
        self._say(f"{', '.join(changed)} changed: the workers are replaced as they finish their jobs")

    def _follow(self, files: Iterable[Path]) -> None:
        """New files as they are now; one that changed while it was imported is looked at again."""
        self._seen = {path: self._seen[path] if path in self._seen else _state(path) for path in files}


def state_of(files: Iterable[Path]) -> State:
    """Time of the last change and size by file; None for one that does not exist."""
    return {path: _state(path) for path in files}


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
