"""Runs handlers: plain functions in threads, coroutine functions on one event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from functools import partial
from queue import SimpleQueue
from time import monotonic

from jobtide.job import End, Job, Json
from jobtide.telemetry.events import Emit, Handled
from jobtide.tide import Handler
from jobtide.worker import outcome
from jobtide.worker.in_flight import Flight, Flights
from jobtide.worker.outcome import RetryPolicy


class Runner:
    """Starts flights and hands each one's end to `on_end`, which is called in the thread that ran it.

    Threads are daemons: a handler that never returns must not keep a drained process alive.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        flights: Flights,
        policy: RetryPolicy,
        *,
        threads: int,
        max_result_bytes: int,
        on_end: Callable[[End | None], None],
        emit: Emit,
    ) -> None:
        self._handlers = handlers
        self._flights = flights
        self._policy = policy
        self._threads = threads
        self._max_result_bytes = max_result_bytes
        self._on_end = on_end
        self._emit = emit
        self._waiting: SimpleQueue[Flight] = SimpleQueue()
        self._started_threads = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._coroutines = asyncio.Semaphore(threads)  # prefetched jobs wait here as plain ones do for a thread
        self.active = 0  # claimed and not ended, counted by the claiming thread alone

    def start(self, job: Job, claimed_at: float) -> None:
        """Takes the job in hand and runs its handler as soon as a thread, or a place on the event loop, is free."""
        flight = self._flights.begin(job, claimed_at, self._handlers[job.type].timeout_seconds)
        self.active += 1
        if self._handlers[job.type].is_async:
            asyncio.run_coroutine_threadsafe(self._run_async(flight), self._event_loop())
            return
        self._waiting.put(flight)
        if self._started_threads < min(self._threads, self.active):
            self._started_threads += 1
            name = f"jobtide-handler-{self._started_threads}"
            threading.Thread(target=self._run_forever, name=name, daemon=True).start()

    def policy_of(self, type_: str) -> RetryPolicy:
        """The handler's own max_attempts comes before the pool's."""
        own = self._handlers[type_].max_attempts
        if own is None:
            return self._policy
        return RetryPolicy(own, self._policy.base_seconds, self._policy.max_seconds)

    def _run_forever(self) -> None:
        while True:
            self._run(self._waiting.get())

    def _run(self, flight: Flight) -> None:
        started_at = monotonic()
        if not self._flights.start(flight, started_at):
            self._on_end(None)
            return
        handler = self._handlers[flight.job.type]
        flight.thread_id = threading.get_ident()
        try:
            value = handler.function(*handler.arguments(flight.job.payload, flight.context))
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything, SystemExit too; all is an end
            self._ended(
                flight,
                self._raised(flight, error),
                started_at,
            )
        else:
            self._ended(
                flight,
                self._returned(flight, value),
                started_at,
            )

    async def _run_async(self, flight: Flight) -> None:
        handler = self._handlers[flight.job.type]
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        if task is not None:
            flight.context.when_cancelled(partial(loop.call_soon_threadsafe, task.cancel))
        started_at = monotonic()
        try:
            async with self._coroutines:
                started_at = monotonic()
                if not self._flights.start(flight, started_at):
                    self._on_end(None)
                    return
                value = await handler.function(*handler.arguments(flight.job.payload, flight.context))
        except BaseException as error:  # noqa: BLE001 - as above; a cancelled task ends here too
            self._ended(
                flight,
                self._raised(flight, error),
                started_at,
            )
        else:
            self._ended(
                flight,
                self._returned(flight, value),
                started_at,
            )

    def _returned(self, flight: Flight, value: Json) -> End:
        return outcome.returned(flight.job, value, self._max_result_bytes, outcome.moment())

    def _raised(self, flight: Flight, error: BaseException) -> End:
        """An exception that follows from our own cancellation is judged by the cancellation."""
        job = flight.job
        match flight.context.cancelled_by:
            case "drain":
                return outcome.given_back(job)
            case "timeout":
                limit = self._handlers[job.type].timeout_seconds
                error = TimeoutError(f"ran longer than its {limit:g} s and was cancelled ({type(error).__name__})")
            case "lease lost" | None:
                pass
        return outcome.raised(job, error, self.policy_of(job.type), outcome.moment())

    def _ended(self, flight: Flight, end: End, started_at: float) -> None:
        """Whoever took the flight before (a drain, a lost lease) has decided its end: this one is dropped."""
        mine = self._flights.take(flight.job) is not None
        self._emit(Handled(end, monotonic() - started_at))
        self._on_end(end if mine else None)

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="jobtide-async", daemon=True).start()
        return self._loop
