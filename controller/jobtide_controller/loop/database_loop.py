"""The loop of one database: read once, then decide, apply and report for every pool that this may concern.

One database's trouble is its own loop's: a slow, hanging or unreadable one stops no other. A pool at rest is not
looked at until the reading has jobs of its types, the watch saw it change, or the time comes that it was told to wait
for; ten thousand idle pools cost as much as one.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from jobtide_controller.decide.reading import Reading, Slices, Unreadable, slices
from jobtide_controller.kube.inventory.pools import PoolEntry
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.loop.budget import Budget
from jobtide_controller.loop.cooperative import yielding_every
from jobtide_controller.loop.interval import Interval
from jobtide_controller.loop.pipeline import Pipeline
from jobtide_controller.loop.rescuer import Rescuer, RescueSource
from jobtide_controller.telemetry.events import DatabaseFound, DatabaseLost, Emit, Failed, Ticked

# Between two pauses in which the lease is renewed and probes are answered.
POOLS_AT_ONCE = 20


class Source(RescueSource, Protocol):
    @property
    def warnings(self) -> tuple[str, ...]: ...

    async def read(self, types: Sequence[str]) -> Reading | Unreadable: ...

    async def disconnect(self) -> None: ...


class DatabaseLoop:
    def __init__(
        self,
        source: Source,
        inventory: Inventory,
        pipeline: Pipeline,
        orphans: Rescuer,
        emit: Emit,
        *,
        leading: Callable[[], bool],
        observe: Callable[[str, Reading | Unreadable | None], None] = lambda _name, _reading: None,
        budget: Budget | None = None,
        interval: Interval | None = None,
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
        self._budget = Budget(None) if budget is None else budget
        self._interval = interval or Interval()
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
            self._inventory.changes.take(self.name)  # as a leader it begins with all pools anyway
            await self._rest_as_follower()
            return self._interval.min_seconds
        self._was_leading = True
        types = self._inventory.pools.types(self.name)
        changed = self._inventory.changes.take(self.name)
        if not types:
            await self._rest_without_pools(changed)
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

        def part(uid: str) -> Reading | Unreadable:
            return reading if parts is None else parts.of(uid)

        uids = self._concerned(parts, changed)
        self._end_rest(uids)
        if self._budget.connections is not None:
            uids = await self._divide(uids, part)
        # After a start all pools are looked at: jobs don't wait for the idle.
        with_jobs = set() if parts is None else parts.by_pool.keys()
        async for uid in yielding_every(sorted(uids, key=lambda uid: (uid not in with_jobs, uid)), POOLS_AT_ONCE):
            self._advance_pool(uid, part(uid))
        if isinstance(reading, Reading):
            self._previous_taken_at = reading.taken_at
        return len(uids)

    async def _divide(self, uids: set[str], part: Callable[[str], Reading | Unreadable]) -> set[str]:
        """The connections anew; with those pools that may have more or fewer workers by what others ask for."""
        async for uid in yielding_every(sorted(uids), POOLS_AT_ONCE):
            entry = self._inventory.pools.get(uid)
            if entry is None:
                continue
            try:
                self._budget.put(uid, self._pipeline.connection_request(entry, part(uid), self._wall_clock()))
            except Exception as error:  # noqa: BLE001 - as in _advance_pool; what it asked for last still counts
                self._tell_bug(entry, error)
        concerned = uids | (self._budget.divide() & self._known)
        self._end_rest(concerned - uids)
        return concerned

    def _concerned(self, parts: Slices | None, changed: set[str]) -> set[str]:
        now = self._wall_clock()
        pools = {entry.uid for entry in self._inventory.pools.of_database(self.name)}
        self._forget(self._known - pools)
        self._known = pools
        woken = {uid for uid, at in self._wake_at.items() if at <= now}
        with_jobs = parts.by_pool.keys() if parts is not None else set()
        return (pools - self._resting) | ((changed | woken | with_jobs) & pools)

    def _end_rest(self, uids: Iterable[str]) -> None:
        if self._previous_taken_at is not None:
            for uid in self._resting.intersection(uids):
                self._pipeline.rested(uid, self._previous_taken_at)

    def _advance_pool(self, uid: str, reading: Reading | Unreadable) -> None:
        entry = self._inventory.pools.get(uid)
        if entry is None:
            return
        share, warnings = self._budget.share(uid), self._source.warnings
        try:
            progress = self._pipeline.advance(entry, reading, share, warnings=warnings, now=self._wall_clock())
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

    async def _rest_without_pools(self, changed: set[str]) -> None:
        self._forget(changed | self._known)
        self._known = set()
        self._blind, self._failures, self._previous_taken_at = None, 0, None
        self._observe(self.name, None)
        await self._source.disconnect()

    async def _rest_as_follower(self) -> None:
        if not self._was_leading:
            return
        self._was_leading = False
        self._previous_taken_at = None
        self._resting.clear()
        self._wake_at.clear()
        self._budget.clear()
        self._pipeline.follow(self._known)
        self._observe(self.name, None)
        await self._source.disconnect()

    def _forget(self, uids: set[str]) -> None:
        """Pools that are gone, or another database's by now: what that one's loop does with them stays."""
        for uid in uids:
            self._resting.discard(uid)
            self._wake_at.pop(uid, None)
            self._bugs.pop(uid, None)
            self._budget.forget(uid)
            if self._inventory.pools.get(uid) is None:
                self._pipeline.forget(uid)
            else:
                self._pipeline.begin_anew((uid,))

    def _pools_of_type(self, type_: str) -> set[str]:
        return self._inventory.pools.of_type(self.name, type_)
