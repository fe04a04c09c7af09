"""Deletes ended jobs of one database after their retention time, beside the ticks and much slower than they are."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, TypeVar

from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.decide.retention import (
    FAILED_PASS_SECONDS,
    SLOW_REST_SECONDS,
    SLOW_SECONDS,
    Batch,
    Pass,
    PassReport,
    advanced,
    begun,
    held_up,
    is_set,
    next_batch,
    policy_of,
    rest_seconds,
    seconds_to_next,
)
from jobtide_controller.loop.ports import DeletionFailedError, HeldUpError, Pools, Source
from jobtide_controller.loop.term import DatabaseState
from jobtide_controller.telemetry.events import DeletionFailed, Emit, EndedDeleted, Failed

Result = TypeVar("Result")

# The first pass over millions of rows takes an hour: its users see it move.
REPORT_SECONDS = 60.0
UNDER_WAY = "the pass is under way"


class Deleter:
    """`follow()` keeps the policy, `run_pass()` is one pass. What a term remembers is in the database's state."""

    def __init__(
        self,
        source: Source,
        pools: Pools,
        emit: Emit,
        *,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._pools = pools
        self._emit = emit
        self._wall_clock = wall_clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._pass: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._pass is not None and not self._pass.done()

    def follow(self, state: DatabaseState, changed: Collection[str]) -> None:
        """Takes over what the pools say now; a pass under another policy ends at once, and the next one is due."""
        known = state.retention
        uids = self._pools.of_database(self._source.name) if known.policy is None else changed
        is_changed = [self._take_over(state, uid) for uid in uids]
        if known.policy is not None and not any(is_changed):
            return
        policy = policy_of(known.by_pool.values())
        if policy == known.policy:
            return
        self.stop()
        if not known.wants_passes:
            known.complete_at = self._wall_clock()
        known.policy, known.next_at = policy, float("-inf")
        if not (policy.completed or policy.failed):
            self._report(state, begun(policy), "")  # another pool may keep the jobs: the status says so

    def start_if_due(self, state: DatabaseState, is_current: Callable[[], bool]) -> None:
        """Begins a pass if it is time. It ends early when `is_current()` is false: the term is over."""
        known = state.retention
        if self.is_running or known.policy is None or self._monotonic() < known.next_at:
            return
        if known.policy.completed or known.policy.failed:
            self._pass = asyncio.create_task(self._guarded(state, is_current), name=f"retention {self._source.name}")

    def stop(self) -> None:
        """Ends a pass that runs, after the statement that is under way."""
        if self._pass is not None:
            self._pass.cancel()

    async def run_pass(self, state: DatabaseState, is_current: Callable[[], bool]) -> None:
        """One pass over all rows that may be old enough, with rests; it waits while the database is slow or away."""
        assert state.retention.policy is not None
        walk, message, reported_at = begun(state.retention.policy), "", self._monotonic()
        while (batch := next_batch(walk)) is not None and not message:
            if not is_current():
                return
            if not _is_well(state.reading):
                await self._sleep(SLOW_REST_SECONDS)
                continue
            before = walk.cost_seconds
            walk, message = await self._delete(walk, batch)
            if self._monotonic() - reported_at >= REPORT_SECONDS:
                reported_at = self._monotonic()
                self._report(state, walk, UNDER_WAY)
            await self._sleep(rest_seconds(walk.cost_seconds - before))
        if not message:
            state.retention.complete_at = self._wall_clock()
        pause = FAILED_PASS_SECONDS if message else seconds_to_next(walk)
        state.retention.next_at = self._monotonic() + pause
        self._report(state, walk, message)

    async def _delete(self, walk: Pass, batch: Batch) -> tuple[Pass, str]:
        """The pass after this batch, and why it can't go on."""
        started = self._monotonic()
        try:
            done = await _whole(self._source.delete_ended(batch))
        except HeldUpError as error:
            message = "" if batch.most else str(error)
            return held_up(walk, self._monotonic() - started), message
        except DeletionFailedError as error:
            return walk, str(error)
        self._emit(EndedDeleted(self._source.name, batch.status, sum(done.rows.values()), done.seconds))
        return advanced(walk, batch, done), ""

    async def _guarded(self, state: DatabaseState, is_current: Callable[[], bool]) -> None:
        try:
            await self.run_pass(state, is_current)
        except Exception:  # noqa: BLE001 - it is emitted with its traceback, and counted
            state.retention.next_at = self._monotonic() + FAILED_PASS_SECONDS
            self._emit(Failed(f"deleting ended jobs of database {self._source.name}", traceback.format_exc()))

    def _take_over(self, state: DatabaseState, uid: str) -> bool:
        """Whether the types or the retention of this pool are new."""
        by_pool, entry = state.retention.by_pool, self._pools.get(uid)
        if entry is None or entry.database != self._source.name:
            return by_pool.pop(uid, None) is not None
        is_unknown = entry.refusal is not None and entry.not_allowed is None
        said = (None if is_unknown else entry.types), entry.retention
        if by_pool.get(uid) == said:
            return False
        by_pool[uid] = said
        return True

    def _report(self, state: DatabaseState, walk: Pass, message: str) -> None:
        known = state.retention
        before = "" if known.report is None else known.report.message
        known.report = PassReport(self._wall_clock(), walk.deleted, walk.oldest_left, message)
        if message not in {"", UNDER_WAY, before}:
            self._emit(DeletionFailed(self._source.name, message))
        for uid, pool in state.pools.items():
            if uid in known.by_pool and is_set(known.by_pool[uid][1]):
                pool.is_idle = False


async def _whole(statement: Coroutine[Any, Any, Result]) -> Result:
    """Its result. Its thread runs on after a cancellation, and would refuse the next pass: so this waits for it."""
    running = asyncio.create_task(statement)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


def _is_well(reading: Reading | Unreadable | None) -> bool:
    return isinstance(reading, Reading) and reading.query_seconds < SLOW_SECONDS
