"""One reading for all viewers: a snapshot a second at most, taken only while there are viewers or history is due."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from jobtide_controller.decide.reading import Reading
from jobtide_controller.page.depths import Depths, depths_of
from jobtide_controller.page.snapshot import Snapshot

PAUSE_SECONDS = 1.0
COST_SHARE = 0.05  # of a core, for the page's thread with all its viewers: then the pauses grow
PAUSE_MAX_SECONDS = 10.0

_log = logging.getLogger("jobtide_controller")


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot with its readings summed."""

    version: int
    snapshot: Snapshot
    depths: Mapping[str, Depths]  # by database, of those that can be read
    namespaces: frozenset[str]  # with pools


class Feed:
    """`take` is called for a snapshot, `note` gets each one. It belongs to the page's own event loop."""

    def __init__(
        self,
        take: Callable[[], Awaitable[Snapshot]],
        note: Callable[[Published], object],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take = take
        self._note = note
        self._monotonic = monotonic
        self._published: Published | None = None
        self._looked_at = float("-inf")
        self._news = asyncio.Event()
        self._looking: asyncio.Task[Published] | None = None
        self._cost_seconds = 0.0
        self._spent_seconds = time.thread_time()
        self.viewers = 0

    async def run(self) -> None:
        """Looks again and again until cancelled."""
        while True:
            began = self._monotonic()
            try:
                await self._look()
            except TimeoutError:
                pass  # the controller's loop is busy; /healthz says so if it hangs
            except Exception:  # noqa: BLE001 - it is logged with its traceback
                _log.exception("bug: the page could not look at the pools, please report it; it tries again")
            await asyncio.sleep(max(0.0, began + self.pause_seconds - self._monotonic()))

    @property
    def pause_seconds(self) -> float:
        """Between two looks: it grows with the processor time of the page's thread from look to look."""
        return min(PAUSE_MAX_SECONDS, max(PAUSE_SECONDS, self._cost_seconds / COST_SHARE))

    async def latest(self) -> Published:
        """The last look, or a new one if that is older than a pause. Raises TimeoutError if the controller hangs."""
        if self._published is None or self._monotonic() - self._looked_at > 2 * self.pause_seconds:
            return await self._look()
        return self._published

    async def after(self, version: int, seconds: float) -> Published | None:
        """The first look after this version; None if there is none within `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._published is None or self._published.version <= version:
                    await self._news.wait()
                return self._published
        return None

    @contextlib.contextmanager
    def viewer(self) -> Iterator[None]:
        """Counts a viewer."""
        self.viewers += 1
        try:
            yield
        finally:
            self.viewers -= 1

    async def _look(self) -> Published:
        """Callers at the same time share one look."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_once())
        return await asyncio.shield(self._looking)

    async def _look_once(self) -> Published:
        snapshot = await self._take()
        published = self._summed(snapshot)
        self._published, self._looked_at = published, self._monotonic()
        self._note(published)
        spent, self._spent_seconds = time.thread_time() - self._spent_seconds, time.thread_time()
        self._cost_seconds += 0.3 * (spent - self._cost_seconds)
        self._news.set()
        self._news = asyncio.Event()
        return published

    def _summed(self, snapshot: Snapshot) -> Published:
        before = self._published
        known = {} if before is None else before.depths
        depths: dict[str, Depths] = {}
        for name, view in snapshot.databases.items():
            if isinstance(view.reading, Reading):
                old = known.get(name)
                depths[name] = old if old is not None and old.reading is view.reading else depths_of(view.reading)
        namespaces = frozenset(entry.ref.namespace for entry in snapshot.pools)
        if before is not None and before.namespaces == namespaces:
            namespaces = before.namespaces
        return Published(0 if before is None else before.version + 1, snapshot, depths, namespaces)


class Message(NamedTuple):
    """One event for viewers. It has a new number only where its document is another than before."""

    number: int
    data: bytes


class Rendered:
    """Documents as bytes, once for all viewers with the same rights."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._version = -1
        self._now: dict[object, Message] = {}
        self._before: dict[object, tuple[Message, int]] = {}

    def message(self, published: Published, key: object, document: Callable[[], dict[str, Any]]) -> Message:
        """The event of this key; `document` is called once for each version. Its `now` alone makes no new event."""
        if published.version != self._version:
            self._before = {known: (message, hash(_body(message.data))) for known, message in self._now.items()}
            self._now, self._version = {}, published.version
        found = self._now.get(key)
        if found is None:
            found = self._now[key] = self._new(published, key, document())
        return found

    def _new(self, published: Published, key: object, document: dict[str, Any]) -> Message:
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
        data = f"event: {self._event}\ndata: {text}\n\n".encode()
        before, hashed = self._before.get(key, (None, 0))
        if before is not None and hash(_body(data)) == hashed:
            return before
        return Message(published.version, data)


def _body(data: bytes) -> bytes:
    """Without the time of the document, which is its first value."""
    return data[data.find(b",") :]
