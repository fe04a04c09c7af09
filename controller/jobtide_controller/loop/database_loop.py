"""The loop of one database: reads it once a tick, then decides, applies and reports every pool that this may concern.

One database's failure is its own loop's: a slow, hanging or unreadable database stops no other. An idle pool is not
looked at until the reading has jobs of its types, the pool changes, or its wake-up time comes; ten thousand idle pools
cost as much as one.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from jobtide_controller.decide.connection_shares import ConnectionRequest
from jobtide_controller.decide.limits import least_limits
from jobtide_controller.decide.reading import Reading, Slices, Unreadable, UnreadableReason, slices
from jobtide_controller.decide.scaling import Proposal
from jobtide_controller.loop import limits
from jobtide_controller.loop.budget import divide_budget, put_request
from jobtide_controller.loop.cooperative import Turns
from jobtide_controller.loop.due_pools import due_pools, end_idle, wake_at
from jobtide_controller.loop.interval import Interval
from jobtide_controller.loop.parts import Usable, part_of
from jobtide_controller.loop.pipeline import Pipeline
from jobtide_controller.loop.ports import PoolEntry, Pools, Source
from jobtide_controller.loop.reading_health import note_reading
from jobtide_controller.loop.rescuer import Rescuer
from jobtide_controller.loop.retention import Deleter
from jobtide_controller.loop.table_watch import TableWatch
from jobtide_controller.loop.term import DatabaseState, PoolState, Term, Terms
from jobtide_controller.loop.troubles import Troubles
from jobtide_controller.loop.unserved import note_unserved
from jobtide_controller.render.facts import Context
from jobtide_controller.telemetry.events import Emit, Failed, Ticked

# Between two pauses in which the lease is renewed and probes are answered.
POOLS_PER_YIELD = 20


class _Proposed(NamedTuple):
    entry: PoolEntry
    pool: PoolState
    proposal: Proposal


class DatabaseLoop:
    """Reads one database and decides its pools. `run_once()` is one pass, `run()` repeats it."""

    def __init__(
        self,
        source: Source,
        pools: Pools,
        pipeline: Pipeline,
        rescuer: Rescuer,
        terms: Terms,
        *,
        emit: Emit,
        connections: int | None = None,
        shows_tenants: bool = True,
        usable: Usable | None = None,
        interval: Interval | None = None,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`connections` is the database's connection budget; None: there is none. `shows_tenants`: their IDs.

        `usable` returns the names of the databases that pools of a namespace may use; None: pools can't choose.
        """
        self.name = source.name
        self.ticked_at = monotonic()
        self._source = source
        self._pools = pools
        self._pipeline = pipeline
        self._rescuer = rescuer
        self._terms = terms
        self._emit = emit
        self._troubles = Troubles(pipeline, terms, emit, wall_clock=wall_clock)
        self._connections = connections
        self._shows_tenants = shows_tenants
        self._usable = usable
        self._interval = interval or Interval()
        self._wall_clock = wall_clock
        self._monotonic = monotonic
        self._cost_seconds = 0.0  # of a reading, in the database
        self._held_seconds = 0.0  # of the event loop, by the decisions of the last tick
        self._rescuing: asyncio.Task[None] | None = None
        self._deleter = Deleter(source, pools, emit, wall_clock=wall_clock, monotonic=monotonic)
        self._table = TableWatch(source, emit, monotonic=monotonic)
        self._has_pools = True
        self._unreadable: Unreadable | None = None  # the last reading: an outage does not end with a term

    @property
    def is_over(self) -> bool:
        """Whether the last pass found no pool, and left nothing behind: `run()` may be cancelled."""
        is_rescuing = self._rescuing is not None and not self._rescuing.done()
        return not (self._has_pools or is_rescuing or self._deleter.is_running or self._table.is_running)

    async def run(self) -> None:
        """Runs until cancelled; a bug costs a tick, not the loop."""
        try:
            await self._repeat()
        finally:
            self._deleter.stop()
            self._table.stop()

    async def _repeat(self) -> None:
        was_notified = False
        while True:
            started = self._monotonic()
            try:
                pause = await self.run_once()
            except Exception:  # noqa: BLE001 - it is emitted with its traceback, and counted
                self._emit(Failed(f"a tick of database {self.name}", traceback.format_exc()))
                pause = self._interval.max_seconds
            is_notified = await self._wait(pause)
            # Where jobs come and end between two readings, only every second one follows at once.
            least = self._interval.at_least(
                self._cost_seconds, self._held_seconds, is_notified=is_notified and not was_notified
            )
            was_notified = is_notified
            await asyncio.sleep(max(0.0, started + least - self._monotonic()))

    async def _wait(self, seconds: float) -> bool:
        """Until a pool changes or the source reports a job, at the latest for `seconds`. True: it reported one."""
        if not self._source.hears_jobs:
            await self._pools.wait_for_change(self.name, seconds)
            return False
        changed = asyncio.ensure_future(self._pools.wait_for_change(self.name, seconds))
        notified = asyncio.ensure_future(self._source.await_jobs(2 * seconds))  # the other one keeps the time
        try:
            await asyncio.wait((changed, notified), return_when=asyncio.FIRST_COMPLETED)
            return notified.done()
        finally:
            changed.cancel()
            notified.cancel()
            await asyncio.gather(changed, notified, return_exceptions=True)

    async def run_once(self) -> float:
        """One pass; the seconds until the next, unless a pool changes before."""
        self.ticked_at, self._has_pools = self._monotonic(), True
        self._held_seconds = 0.0
        changed = self._pools.take_changed(self.name)
        term = self._terms.current
        if term is None:
            self._deleter.stop()
            await self._source.disconnect()
            self._has_pools = bool(self._pools.of_database(self.name))
            return self._interval.min_seconds
        state = term.database(self.name, self._connections, self._unreadable, shows_tenants=self._shows_tenants)
        is_budget_stale = self._follow_pools(term, state)
        if not state.pools:
            await limits.forget(self._source, state)
            del term.databases[self.name]
            self._unreadable = None
            self._deleter.stop()
            await self._source.disconnect()
            self._has_pools = False
            return self._interval.max_seconds
        self._deleter.follow(state, changed)
        limits.follow(state, self._pools, changed)
        types = self._pools.types(self.name)
        if not types:
            await self._rest(term, state, changed, is_budget_stale=is_budget_stale)
            return self._interval.max_seconds
        least = least_limits(self._pools.least_limits(self.name), state.limits.kept.shared, types)
        reading = await self._source.read(types, least)
        note_reading(self.name, state, reading, self._wall_clock(), self._emit)
        state.warnings = self._source.warnings
        self._unreadable = reading if isinstance(reading, Unreadable) else None
        if isinstance(reading, Reading):
            await limits.keep(self._source, self._pools, state)
            note_unserved(self.name, state, reading, self._pools, now=self._wall_clock(), emit=self._emit)
        decided = await self._advance(term, state, reading, changed, is_budget_stale=is_budget_stale)
        if isinstance(reading, Reading):
            self._start_rescue(reading)
            self._deleter.start_if_due(state, lambda: self._is_current(term, state))
            self._table.start_if_due(state, lambda: self._is_current(term, state))
        self._emit_tick(reading, decided)
        return self._pause(state)

    async def _rest(self, term: Term, state: DatabaseState, changed: set[str], *, is_budget_stale: bool) -> None:
        """There is nothing to read: no pool can be used, or may use the database."""
        self._unreadable = state.reading = None  # else /metrics would show the last depths as long as this lasts
        not_read = Unreadable(UnreadableReason.NOT_ALLOWED, "no pool may use it", self._wall_clock())
        await self._advance(term, state, not_read, changed, is_budget_stale=is_budget_stale)
        await self._source.disconnect()

    async def _advance(
        self,
        term: Term,
        state: DatabaseState,
        reading: Reading | Unreadable,
        changed: set[str],
        *,
        is_budget_stale: bool,
    ) -> int:
        """Every pool that this reading may concern; how many there were."""
        turns = Turns(POOLS_PER_YIELD, monotonic=self._monotonic)
        parts = slices(reading, self._pools_of_type) if isinstance(reading, Reading) else reading
        with_jobs = parts.by_pool if isinstance(parts, Slices) else {}
        due = due_pools(state, changed, with_jobs, self._wall_clock())

        def jobs_first(uid: str) -> tuple[bool, str]:
            """After a start all pools are due: jobs don't wait for the idle ones."""
            return uid not in with_jobs, uid

        if state.connections is None:
            async for uid in turns.of(sorted(due, key=jobs_first)):
                if (proposed := self._propose(state, uid, parts)) is not None:
                    self._conclude(term, state, proposed)
        else:
            proposals = await self._propose_within_budget(turns, state, due, parts, is_stale=is_budget_stale)
            due |= proposals.keys()
            async for uid in turns.of(sorted(proposals, key=jobs_first)):
                self._conclude(term, state, proposals[uid])
        if isinstance(reading, Reading):
            state.read_at = reading.taken_at
        self._held_seconds = turns.held_seconds
        return len(due)

    async def _propose_within_budget(
        self, turns: Turns, state: DatabaseState, due: set[str], parts: Slices | Unreadable, *, is_stale: bool
    ) -> dict[str, _Proposed]:
        """The proposals of the due pools, and of those whose share of the connection budget changes by them."""
        proposals: dict[str, _Proposed] = {}
        async for uid in turns.of(sorted(due)):
            if (proposed := self._propose(state, uid, parts)) is not None:
                proposals[uid] = proposed
            if (pool := state.pools.get(uid)) is not None:
                is_stale |= put_request(state, uid, self._request(uid, pool, proposed))
        moved = divide_budget(state) - due if is_stale else set[str]()
        async for uid in turns.of(sorted(moved)):
            if (proposed := self._propose(state, uid, parts)) is not None:
                proposals[uid] = proposed
        return proposals

    def _request(self, uid: str, pool: PoolState, proposed: _Proposed | None) -> ConnectionRequest:
        """After a bug it is what the workers hold until a pass succeeds: each try would move the others' shares."""
        if proposed is None or pool.bug is not None:
            return self._pipeline.held_request(uid, pool)
        return self._pipeline.request(pool, proposed.proposal)

    def _propose(self, state: DatabaseState, uid: str, parts: Slices | Unreadable) -> _Proposed | None:
        entry, pool = self._pools.get(uid), state.pools.get(uid)
        if entry is None or pool is None or self._troubles.is_backing_off(entry, pool):
            return None
        if entry.refusal is not None:
            self._troubles.report_refusal(entry, pool, entry.refusal)
            return None
        end_idle(pool, state.read_at)
        now = self._wall_clock()
        try:
            reading = part_of(entry, parts, self._usable, now)
            return _Proposed(entry, pool, self._pipeline.propose(entry, pool, reading, state.limits.kept.shared, now))
        except Exception as error:  # noqa: BLE001 - one pool's bug, emitted with its traceback, stops no other
            self._troubles.note_bug(entry, pool, error)
            return None

    def _conclude(self, term: Term, state: DatabaseState, proposed: _Proposed) -> None:
        entry, pool, proposal = proposed
        if self._pools.get(entry.uid) is not entry or self._terms.current is not term:
            return  # the pool was changed or deleted, or the lease was lost, since: the next tick looks at it
        try:
            context = self._context(state, entry.uid)
            self._pipeline.advance(term, entry, pool, proposal, state.share(entry.uid), context)
        except Exception as error:  # noqa: BLE001 - as above
            self._troubles.note_bug(entry, pool, error)
        else:
            if pool.bug is not None:
                pool.bug, pool.is_idle = None, False  # it was decided within what it holds

    def _context(self, state: DatabaseState, uid: str) -> Context:
        """What is known of the database, as far as this pool shows it."""
        return Context(
            schema_warnings=self._source.warnings,
            shows_tenants=state.shows_tenants,
            retained=state.retention.retained(uid),
            unserved=state.unserved.found if uid in state.unserved.shown_by else (),
            limits_view=state.limits.kept.has_view,
            limits_trouble=state.limits.kept.trouble,
            table=state.table.shown.verdict,
        )

    def _is_current(self, term: Term, state: DatabaseState) -> bool:
        return self._terms.current is term and term.databases.get(self.name) is state

    def _follow_pools(self, term: Term, state: DatabaseState) -> bool:
        """Makes a record for each new pool, deletes those of pools that were deleted or moved to another database.

        True if one of these had a part of the connection budget.
        """
        present = self._pools.of_database(self.name)
        gone = [state.pools.pop(uid) for uid in state.pools.keys() - present]
        for pool in gone:
            pool.scaler.close()
        for uid in present - state.pools.keys():
            state.pools[uid] = PoolState(term.writes.scaler(uid))
        state.changing_pools = sum(pool.status_written_at is not None for pool in state.pools.values())
        return any(pool.request is not None for pool in gone)

    def _start_rescue(self, reading: Reading) -> None:
        """Beside the tick: a list of all workers may take seconds, and waiting jobs don't wait for it."""
        if self._rescuing is None or self._rescuing.done():
            self._rescuing = asyncio.create_task(self._rescue(reading), name=f"rescue {self.name}")

    async def _rescue(self, reading: Reading) -> None:
        try:
            await self._rescuer.rescue(reading)
        except Exception:  # noqa: BLE001 - emitted with its traceback; the next reading finds the rows again
            self._emit(Failed(f"rescuing jobs of database {self.name}", traceback.format_exc()))

    def _emit_tick(self, reading: Reading | Unreadable, decided: int) -> None:
        if isinstance(reading, Reading):
            self._cost_seconds += 0.3 * (reading.query_seconds - self._cost_seconds)
            seconds = self._monotonic() - self.ticked_at
            self._emit(Ticked(self.name, reading.query_seconds, len(reading.depths), decided, seconds))

    def _pause(self, state: DatabaseState) -> float:
        is_notified = self._source.hears_jobs and all(pool.is_idle for pool in state.pools.values())
        pause = self._interval.after(self._cost_seconds, state.failures, is_notified=is_notified)
        next_wake = wake_at(state)
        return pause if next_wake is None else max(0.0, min(pause, next_wake - self._wall_clock()))

    def _pools_of_type(self, type_: str) -> AbstractSet[str]:
        return self._pools.of_type(self.name, type_)
