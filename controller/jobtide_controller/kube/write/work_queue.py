"""The queue of all writes to the API server: the most urgent first, one in flight per pool, as many as it can take.

A request says what a pool should become, not what to send: its `run` compares with the cluster when it starts. So a
newer request of the same kind replaces a waiting one, and at most two wait for each pool (its fleet and its status),
beside Events.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import itertools
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal

from jobtide.backoff import backoff_seconds
from jobtide_controller.api.base import PoolRef
from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.kube.write.window import Window
from jobtide_controller.telemetry.events import Emit, Failed, WriteFailed

# A new Deployment is written to by Kubernetes' own controllers at the same moment, and a busy API server refuses what
# it takes a moment later: so many lost races or refusals are no failure.
RACES = 4

# What has waited for so long gets one write in four, whatever is more urgent: else endless scale-ups would starve it.
OVERDUE_SECONDS = 10.0
OVERDUE_TURN = 4

Kind = Literal["fleet", "status", "event"]
Key = tuple[str, Kind]


class Priority(IntEnum):
    """Waiting jobs come before everything that only saves workers or reports."""

    SCALE_UP = 0
    CHANGE = 1
    SCALE_DOWN = 2
    STATUS = 3
    EVENT = 4


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """What one pool's Deployment, or its status, should become; or an Event."""

    uid: str  # of the pool, or of the Event
    pool: PoolRef
    kind: Kind
    priority: Priority
    run: Callable[[], Awaitable[None]]  # raises ApiError, NotLeadingError, GoneError
    on_result: Callable[[ApiError | None], None] = lambda _error: None  # called after each attempt that was answered
    version: object = None  # of what is requested: a request with another version does not wait for this one's retry

    @property
    def key(self) -> Key:
        return self.uid, self.kind


class NotLeadingError(Exception):
    """Another controller holds the lease, and writes for itself."""


class GoneError(Exception):
    """The object to write to was deleted."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How long a failing request waits: doubled each time, half of it random."""

    base_seconds: float = 0.2
    max_seconds: float = 30.0

    def seconds(self, attempts: int, error: ApiError) -> float:
        """Returns the pause after so many failed attempts: not less than the server asked for, unless that is over
        max_seconds.
        """
        pause = backoff_seconds(attempts, base_seconds=self.base_seconds, max_seconds=self.max_seconds)
        return max(pause, min(self.max_seconds, error.retry_after_seconds or 0.0))


def _bug_words(error: Exception) -> str:
    words = f"{type(error).__name__}: {error}"
    return f"a bug in Jobtide: {words}; the controller's log has the traceback: please report it"


@dataclass(frozen=True, slots=True)
class _Waiting:
    number: int  # in the order of arrival; a request that replaces another of the same urgency keeps its place
    since: float
    request: WriteRequest


@dataclass(slots=True)
class _Retrying:
    attempts: int
    not_before: float
    version: object


class WriteQueue:
    """Runs as many requests at once as the window has room for, one per pool.

    A request is tried again after ApiError until success or withdrawal.

    A request that raises NotLeadingError or GoneError ends without a retry. Any other error is a bug: it is emitted
    once, and the request is tried again like a refused one.
    """

    def __init__(
        self,
        emit: Emit,
        window: Window,
        *,
        retry: Retry = Retry(),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit = emit
        self._window = window
        self._retry = retry
        self._monotonic = monotonic
        self._order = itertools.count()
        self._waiting: dict[Key, _Waiting] = {}
        # Heaps, whose entries count while the same number waits.
        self._ready: list[tuple[int, int, Key]] = []  # the most urgent first
        self._oldest: list[tuple[int, Key]] = []  # the same requests, the first to arrive first
        self._later: list[tuple[float, int, Key]] = []  # those that wait to be tried again
        self._taken = 0
        self._in_flight: set[str] = set()
        self._blocked: dict[str, set[Key]] = {}
        self._retries: dict[Key, _Retrying] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._clears = 0  # how often `clear` was called: a request from before is not tried again
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, request: WriteRequest) -> None:
        """Queues the request instead of a waiting one of the same pool and kind."""
        retry = self._retries.get(request.key)
        is_free = retry is not None and retry.version != request.version
        if is_free:
            del self._retries[request.key]
        waiting = self._waiting.get(request.key)
        if waiting is None or waiting.request.priority != request.priority:
            self._enqueue(self._wait(request))
        else:
            self._waiting[request.key] = replace(waiting, request=request)
            if is_free:
                self._enqueue(waiting)
        self._pump()

    def withdraw(self, uid: str, kind: Kind) -> None:
        """Drops the pool's waiting request of this kind; one in flight goes on."""
        self._waiting.pop((uid, kind), None)
        self._retries.pop((uid, kind), None)

    def clear(self) -> None:
        """Drops all waiting requests: another controller leads."""
        self._waiting.clear()
        self._retries.clear()
        self._clears += 1

    async def idle(self) -> None:
        """Returns when nothing is in flight; a request that waits for its retry does not count."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _pump(self) -> None:
        """Starts the requests that may start. Called after every change."""
        while not (closed_seconds := self._window.opens_in_seconds):
            if not self._window.has_room(len(self._in_flight)) or (request := self._take()) is None:
                break
            self._in_flight.add(request.uid)
            task = asyncio.create_task(self._attempt(request), name=f"write {request.kind} {request.pool}")
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._done, request))
        self._set_timer(closed_seconds)

    def _done(self, request: WriteRequest, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._in_flight.discard(request.uid)
        for key in self._blocked.pop(request.uid, ()):
            if (waiting := self._waiting.get(key)) is not None:
                self._enqueue(waiting)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._emit_bug(request, error)
        self._pump()

    def _emit_bug(self, request: WriteRequest, error: BaseException) -> None:
        words = "".join(traceback.format_exception(error))
        self._emit(Failed(f"writing the {request.kind} of {request.pool}", words))

    async def _attempt(self, request: WriteRequest) -> None:
        clears = self._clears
        try:
            await request.run()
        except (NotLeadingError, GoneError):
            self._retries.pop(request.key, None)
        except ApiError as error:
            if clears == self._clears:
                self._retry_later(request, error)
        except Exception as error:  # noqa: BLE001 - a bug with this pool, which costs no other one
            if clears == self._clears:
                if request.key not in self._retries:
                    self._emit_bug(request, error)
                self._retry_later(request, ApiError(0, "", _bug_words(error)))
        else:
            self._retries.pop(request.key, None)
            request.on_result(None)

    def _retry_later(self, request: WriteRequest, error: ApiError) -> None:
        before = self._retries.get(request.key)
        attempts = before.attempts + 1 if before is not None else 1
        pause = self._retry.seconds(attempts, error)
        self._retries[request.key] = _Retrying(attempts, self._monotonic() + pause, request.version)
        is_expected = error.namespace_ends or ((error.is_race or error.is_busy) and attempts < RACES)
        if not is_expected:
            self._emit(WriteFailed(request.pool, request.kind, str(error), pause))
            request.on_result(error)
        # A newer request that waits already continues this one's attempts.
        self._enqueue(self._waiting.get(request.key) or self._wait(request))

    def _wait(self, request: WriteRequest) -> _Waiting:
        made = self._waiting[request.key] = _Waiting(next(self._order), self._monotonic(), request)
        return made

    def _enqueue(self, waiting: _Waiting) -> None:
        key, retry = waiting.request.key, self._retries.get(waiting.request.key)
        if retry is not None and retry.not_before > self._monotonic():
            heapq.heappush(self._later, (retry.not_before, waiting.number, key))
        else:
            heapq.heappush(self._ready, (waiting.request.priority, waiting.number, key))
            heapq.heappush(self._oldest, (waiting.number, key))

    def _take(self) -> WriteRequest | None:
        """The next request that may start, which does not wait any more; None: there is none."""
        now = self._monotonic()
        while self._later and self._later[0][0] <= now:
            _, number, key = heapq.heappop(self._later)
            if (waiting := self._still_waiting(number, key)) is not None:
                self._enqueue(waiting)
        taken = self._take_overdue(now) if (self._taken + 1) % OVERDUE_TURN == 0 else None
        while taken is None and self._ready:
            _, number, key = heapq.heappop(self._ready)
            taken = self._startable(number, key)
        if taken is None:
            return None
        self._taken += 1
        del self._waiting[taken.key]
        return taken

    def _take_overdue(self, now: float) -> WriteRequest | None:
        while self._oldest:
            number, key = self._oldest[0]
            waiting = self._still_waiting(number, key)
            if waiting is not None and now - waiting.since < OVERDUE_SECONDS:
                return None
            heapq.heappop(self._oldest)
            if (taken := self._startable(number, key)) is not None:
                return taken
        return None

    def _startable(self, number: int, key: Key) -> WriteRequest | None:
        """The request, if it still waits and may start now; if only later, it is enqueued again then."""
        waiting = self._still_waiting(number, key)
        if waiting is None:
            return None
        retry = self._retries.get(key)
        if retry is not None and retry.not_before > self._monotonic():
            self._enqueue(waiting)
        elif key[0] in self._in_flight:
            self._blocked.setdefault(key[0], set()).add(key)
        else:
            return waiting.request
        return None

    def _still_waiting(self, number: int, key: Key) -> _Waiting | None:
        waiting = self._waiting.get(key)
        return waiting if waiting is not None and waiting.number == number else None  # else it was replaced or dropped

    def _set_timer(self, closed_seconds: float) -> None:
        """Has `_pump` called when the next retry is due, or the API server wants to hear of us again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if closed_seconds and self._waiting:
            pause = closed_seconds
        elif self._later:
            pause = max(0.0, self._later[0][0] - self._monotonic())
        else:
            return
        self._timer = asyncio.get_running_loop().call_later(pause, self._pump)
