"""The loop of one database: read once, then decide, apply and report for every pool that this may concern.

One database's trouble is its own loop's: a slow, hanging or unreadable one stops no other. A pool at rest is not
looked at until the reading has jobs of its types, the watch saw it change, or the time comes that it was told to wait
for; ten thousand idle pools cost as much as one.
"""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jobtide_controller.decide.demand import Reading, Unreadable
from jobtide_controller.instrument import DatabaseFound, DatabaseLost, Emit, Failed, Ticked
from jobtide_controller.kube.inventory import Inventory
from jobtide_controller.kube.pools import PoolEntry
from jobtide_controller.orphans import Orphans, RescueSource
from jobtide_controller.pipeline import Pipeline
from jobtide_controller.slices import Slices, slices

# Between two pauses in which the lease is renewed and probes are answered.
POOLS_AT_ONCE = 50


class Source(RescueSource, Protocol):
    @property
    def warnings(self) -> tuple[str, ...]: ...

    async def read(self, types: Sequence[str]) -> Reading | Unreadable: ...

    async def rest(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Interval:
    """0.2 s while a reading costs up to 10 ms, stretched so that it takes 5 % of a core, 5 s at most."""

    min_seconds: float = 0.2
    max_seconds: float = 5.0
    share: float = 0.05
    woken_share: float = 0.1  # what a stream of events may take

    def after(self, cost_seconds: float, failures: int) -> float:
        if failures:
            doubled = self.min_seconds * 2.0 ** min(failures, 10)
            return min(self.max_seconds, doubled) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads reconnects
        return self._within(cost_seconds / self.share)

    def at_least(self, cost_seconds: float) -> float:
        """Between two readings, whatever happens."""
        return self._within(cost_seconds / self.woken_share)

    def _within(self, seconds: float) -> float:
        return min(self.max_seconds, max(self.min_seconds, seconds))


class DatabaseLoop:
    def __init__(
        self,
        source: Source,
        inventory: Inventory,
        pipeline: Pipeline,
        orphans: Orphans,
        emit: Emit,
        *,
        leading: Callable[[], bool],
        observe: Callable[[str, Reading | Unreadable], None] = lambda _name, _reading: None,
        interval: Interval = Interval(),
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = source.name
        self.ticked_at = monotonic()
        self._source = source
        self._inventory = inventory
        self._pipeline = pipeline
        self._orphans = orphans
        self._emit = emit
        self._leading = leading
        self._observe = observe
        self._interval = interval
        self._wall_clock = wall_clock
        self._monotonic = monotonic
        self._resting: set[str] = set()
        self._known: set[str] = set()
        self._wake_at: dict[str, float] = {}
        self._bugs: dict[str, str] = {}
        self._blind: Unreadable | None = None
        self._failures = 0
        self._cost_seconds = 0.0
        self._was_leading = False
        self._previous_taken_at: float | None = None
        self._settling: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """For ever; a bug costs a tick, not the loop."""
        while True:
            started = self._monotonic()
            try:
                pause = await self.run_once()
            except Exception:  # noqa: BLE001 - it is emitted with its traceback, and counted
                self._emit(Failed(f"a tick of database {self.name}", traceback.format_exc()))
                pause = self._interval.max_seconds
            await self._inventory.changes.wait(self.name, pause)
            rest = started + self._interval.at_least(self._cost_seconds) - self._monotonic()
            await asyncio.sleep(max(0.0, rest))

    async def run_once(self) -> float:
        """One pass; the seconds until the next, unless something happens before."""
        self.ticked_at = self._monotonic()
        if not self._leading():
            await self._rest_as_follower()
            return self._interval.min_seconds
        self._was_leading = True
        types = self._inventory.pools.types(self.name)
        changed = self._inventory.changes.take(self.name)
        if not types:
            self._forget(changed | self._known)
            await self._source.rest()
            return self._interval.max_seconds
        reading = await self._source.read(types)
        self._note(reading)
        decided = await self._advance(reading, changed)
        if isinstance(reading, Reading):
            self._settle(reading)
        self._tell(reading, decided)
        return self._pause()

    async def _advance(self, reading: Reading | Unreadable, changed: set[str]) -> int:
        """Every pool that this reading may concern; how many there were."""
        parts = slices(reading, self._pools_of_type) if isinstance(reading, Reading) else None
        uids = self._concerned(parts, changed)
        for number, uid in enumerate(uids):
            if number % POOLS_AT_ONCE == POOLS_AT_ONCE - 1:
                await asyncio.sleep(0)
            self._advance_pool(uid, reading if parts is None else parts.of(uid))
        if isinstance(reading, Reading):
            self._previous_taken_at = reading.taken_at
        return len(uids)

    def _concerned(self, parts: Slices | None, changed: set[str]) -> list[str]:
        now = self._wall_clock()
        pools = {entry.uid for entry in self._inventory.pools.of_database(self.name)}
        self._forget(self._known - pools)
        self._known = pools
        woken = {uid for uid, at in self._wake_at.items() if at <= now}
        with_jobs = parts.by_pool.keys() if parts is not None else set()
        return sorted((pools - self._resting) | ((changed | woken | with_jobs) & pools))

    def _advance_pool(self, uid: str, reading: Reading | Unreadable) -> None:
        entry = self._inventory.pools.get(uid)
        if entry is None:
            return
        if uid in self._resting and self._previous_taken_at is not None:
            self._pipeline.rested(uid, self._previous_taken_at)
        try:
            progress = self._pipeline.advance(entry, reading, warnings=self._source.warnings, now=self._wall_clock())
        except Exception as error:  # noqa: BLE001 - one pool's bug, emitted with its traceback, stops no other
            self._tell_bug(entry, error)
            return
        self._bugs.pop(uid, None)
        if progress.settled:
            self._resting.add(uid)
        else:
            self._resting.discard(uid)
        if progress.wake_at is None:
            self._wake_at.pop(uid, None)
        else:
            self._wake_at[uid] = progress.wake_at

    def _tell_bug(self, entry: PoolEntry, error: Exception) -> None:
        """The same bug of the same pool once, not five times a second."""
        if self._bugs.get(entry.uid) != repr(error):
            self._bugs[entry.uid] = repr(error)
            self._emit(Failed(f"pool {entry.ref}", "".join(traceback.format_exception(error))))

    def _note(self, reading: Reading | Unreadable) -> None:
        """The database was read or lost; when that changes, every pool hears of it."""
        self._observe(self.name, reading)
        blind = reading if isinstance(reading, Unreadable) else None
        before, self._blind = self._blind, blind
        if blind is not None:
            self._failures += 1
            if before is None or before.reason != blind.reason:
                self._emit(DatabaseLost(self.name, blind.reason, blind.message))
            if before is None or (before.reason, before.message) != (blind.reason, blind.message):
                self._resting.clear()
            return
        self._failures = 0
        if before is not None or self._previous_taken_at is None:
            away_seconds = None if before is None else self._wall_clock() - before.since
            self._emit(DatabaseFound(self.name, away_seconds))
            self._resting.clear()

    def _settle(self, reading: Reading) -> None:
        """Beside the tick: a list of all pods may take seconds, and waiting jobs don't wait for it."""
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle_orphans(reading), name=f"orphans {self.name}")

    async def _settle_orphans(self, reading: Reading) -> None:
        try:
            await self._orphans.settle(reading)
        except Exception:  # noqa: BLE001 - emitted with its traceback; the next reading finds the rows again
            self._emit(Failed(f"rescuing jobs of database {self.name}", traceback.format_exc()))

    def _tell(self, reading: Reading | Unreadable, decided: int) -> None:
        if isinstance(reading, Reading):
            self._cost_seconds += 0.3 * (reading.query_seconds - self._cost_seconds)
            seconds = self._monotonic() - self.ticked_at
            self._emit(Ticked(self.name, reading.query_seconds, len(reading.depths), decided, seconds))

    def _pause(self) -> float:
        pause = self._interval.after(self._cost_seconds, self._failures)
        next_wake = min(self._wake_at.values(), default=None)
        return pause if next_wake is None else max(0.0, min(pause, next_wake - self._wall_clock()))

    async def _rest_as_follower(self) -> None:
        if not self._was_leading:
            return
        self._was_leading = False
        self._previous_taken_at = None
        self._resting.clear()
        self._wake_at.clear()
        self._pipeline.forget_histories(self._known)
        await self._source.rest()

    def _forget(self, uids: set[str]) -> None:
        for uid in uids:
            if self._inventory.pools.get(uid) is None:
                self._resting.discard(uid)
                self._wake_at.pop(uid, None)
                self._bugs.pop(uid, None)
                self._pipeline.forget(uid)

    def _pools_of_type(self, type_: str) -> set[str]:
        return self._inventory.pools.of_type(self.name, type_)
