"""The one way to the API server for all writes: bounded, the most urgent first, one in flight per pool.

A wish says what a pool should become, not what to send: its `run` compares with the cluster as it is by then. So a
newer wish of the same kind replaces a waiting one, and at most two wait for each pool (its fleet and its status).
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import itertools
import random
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from jobtide_controller.api.base import PoolRef
from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.telemetry.events import Emit, Failed, WriteFailed

Kind = Literal["fleet", "status"]
Key = tuple[str, Kind]


class Priority(IntEnum):
    """Waiting jobs come before everything that only saves or tells."""

    SCALE_UP = 0
    CHANGE = 1
    SCALE_DOWN = 2
    STATUS = 3


@dataclass(frozen=True, slots=True)
class WriteRequest:
    uid: str
    pool: PoolRef
    kind: Kind
    priority: Priority
    run: Callable[[], Awaitable[None]]
    on_result: Callable[[ApiError | None], None] = lambda _error: None
    version: object = None  # of what is wished for: a wish for something else does not wait for this one's retry

    @property
    def key(self) -> Key:
        return self.uid, self.kind


class NotLeadingError(Exception):
    """The lease is not ours any more; its new holder wishes for itself."""


class GoneError(Exception):
    """There is nothing left to write to."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How long a failing wish waits: doubled each time, half of it random."""

    base_seconds: float = 0.2
    max_seconds: float = 30.0

    def seconds(self, attempt: int, error: ApiError) -> float:
        wanted = min(self.max_seconds, self.base_seconds * 2.0 ** min(attempt, 20))
        spread = wanted * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        return max(spread, min(self.max_seconds, error.retry_after_seconds or 0.0))


@dataclass(slots=True)
class _Trouble:
    attempts: int
    not_before: float
    version: object


class WriteQueue:
    def __init__(
        self,
        emit: Emit,
        *,
        workers: int = 16,
        retry: Retry = Retry(),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit = emit
        self._workers = workers
        self._retry = retry
        self._monotonic = monotonic
        self._order = itertools.count()
        self._waiting: dict[Key, tuple[int, WriteRequest]] = {}
        self._ready: list[tuple[int, int, Key]] = []
        self._later: list[tuple[float, int, Key]] = []
        self._in_flight: set[str] = set()
        self._blocked: dict[str, set[Key]] = {}
        self._trouble: dict[Key, _Trouble] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, wish: WriteRequest) -> None:
        """WriteRequest for this instead of what was wished for before."""
        trouble = self._trouble.get(wish.key)
        if trouble is not None and trouble.version != wish.version:
            del self._trouble[wish.key]
        waiting = self._waiting.get(wish.key)
        number = next(self._order) if waiting is None or waiting[1].priority != wish.priority else waiting[0]
        self._waiting[wish.key] = (number, wish)
        if waiting is None or waiting[0] != number or trouble is not None:
            self._enqueue(number, wish)
        self._pump()

    def withdraw(self, uid: str, kind: Kind) -> None:
        """Nothing of this kind is wished for any more; what is in flight arrives."""
        self._waiting.pop((uid, kind), None)
        self._trouble.pop((uid, kind), None)

    def clear(self) -> None:
        """Forget all: somebody else leads."""
        self._waiting.clear()
        self._trouble.clear()

    async def idle(self) -> None:
        """Until nothing is in flight; what waits for a retry is not waited for."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _pump(self) -> None:
        """Start what may start; called whenever something changed."""
        while len(self._in_flight) < self._workers and (wish := self._take()) is not None:
            self._in_flight.add(wish.uid)
            task = asyncio.create_task(self._attempt(wish), name=f"write {wish.kind} {wish.pool}")
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._done, wish))
        self._set_alarm()

    def _done(self, wish: WriteRequest, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._in_flight.discard(wish.uid)
        for key in self._blocked.pop(wish.uid, ()):
            if (waiting := self._waiting.get(key)) is not None:
                self._enqueue(*waiting)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            words = "".join(traceback.format_exception(error))
            self._emit(Failed(f"writing the {wish.kind} of {wish.pool}", words))
        self._pump()

    async def _attempt(self, wish: WriteRequest) -> None:
        try:
            await wish.run()
        except (NotLeadingError, GoneError):
            self._trouble.pop(wish.key, None)
        except ApiError as error:
            self._put_off(wish, error)
        else:
            self._trouble.pop(wish.key, None)
            wish.on_result(None)

    def _put_off(self, wish: WriteRequest, error: ApiError) -> None:
        before = self._trouble.get(wish.key)
        attempts = before.attempts + 1 if before is not None else 1
        pause = self._retry.seconds(attempts - 1, error)
        self._trouble[wish.key] = _Trouble(attempts, self._monotonic() + pause, wish.version)
        if not error.namespace_ends:
            self._emit(WriteFailed(wish.pool, wish.kind, str(error), pause))
            wish.on_result(error)
        if wish.key not in self._waiting:  # a newer wish carries on by itself
            self._waiting[wish.key] = (next(self._order), wish)
        self._enqueue(*self._waiting[wish.key])

    def _enqueue(self, number: int, wish: WriteRequest) -> None:
        trouble = self._trouble.get(wish.key)
        if trouble is not None and trouble.not_before > self._monotonic():
            heapq.heappush(self._later, (trouble.not_before, number, wish.key))
        else:
            heapq.heappush(self._ready, (wish.priority, number, wish.key))

    def _take(self) -> WriteRequest | None:
        now = self._monotonic()
        while self._later and self._later[0][0] <= now:
            _, number, key = heapq.heappop(self._later)
            if (waiting := self._waiting.get(key)) is not None and waiting[0] == number:
                heapq.heappush(self._ready, (waiting[1].priority, number, key))
        while self._ready:
            _, number, key = heapq.heappop(self._ready)
            waiting = self._waiting.get(key)
            if waiting is None or waiting[0] != number:
                continue  # replaced or dropped
            trouble = self._trouble.get(key)
            if trouble is not None and trouble.not_before > now:
                heapq.heappush(self._later, (trouble.not_before, number, key))
            elif key[0] in self._in_flight:
                self._blocked.setdefault(key[0], set()).add(key)
            else:
                del self._waiting[key]
                return waiting[1]
        return None

    def _set_alarm(self) -> None:
        """Come back when the next retry is due."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._later:
            pause = max(0.0, self._later[0][0] - self._monotonic())
            self._alarm = asyncio.get_running_loop().call_later(pause, self._pump)
