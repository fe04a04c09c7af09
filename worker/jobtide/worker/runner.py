"""Runs handlers: plain functions in threads, coroutine functions on one event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import Protocol

from jobtide.context import Context
from jobtide.errors import ProcessDied, ProcessNotReady
from jobtide.job import RUNS_IN_PROCESS, WAITS_ALONE, End, Job, Json, suspicion_of
from jobtide.telemetry.events import Emit, Handled, RunsApart
from jobtide.tide import Handler
from jobtide.worker import outcome
from jobtide.worker.fork import exit_if_forked
from jobtide.worker.in_flight import InFlight, InFlightJob
from jobtide.worker.outcome import ErrorDetail, RetryPolicy


class Process(Protocol):
    """A process that runs jobs, one at a time."""

    def run(self, ctx: Context) -> Json: ...


class Processes(Protocol):
    """Lends a process that is ready to run a job of this handler. Raises ProcessNotReady."""

    def child(self, handler: Handler) -> AbstractContextManager[Process]: ...


class Runner:
    """Runs the handler of each job, then hands its end to `write` and its place back with `free`.

    Both are called in the thread that ran the handler. Threads are daemons: a handler that never returns must not
    keep a drained process alive.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        in_flight: InFlight,
        policy: RetryPolicy,
        *,
        threads: int,
        max_result_bytes: int,
        write: Callable[[End], None],
        free: Callable[[], None],
        emit: Emit,
        processes: Processes | None = None,
        error_detail: ErrorDetail = "frames",
    ) -> None:
        self._handlers = handlers
        self._in_flight = in_flight
        self._policy = policy
        self.threads = threads
        self._max_result_bytes = max_result_bytes
        self._write = write
        self._free = free
        self._emit = emit
        self._processes = processes
        self._error_detail = error_detail
        self._waiting: SimpleQueue[InFlightJob] = SimpleQueue()
        self._started_threads = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._coroutines = asyncio.Semaphore(threads)  # prefetched jobs wait for it, as plain ones for a thread

    def start(self, job: Job, claimed_at: float, *, active: int) -> None:
        """Runs the job's handler as soon as a thread, or a place on the event loop, is free.

        `active` jobs, this one included, have a place: with fewer threads than that, one more is started.
        """
        claimed = self._in_flight.add(job, claimed_at, self._handlers[job.type].timeout_seconds)
        if self._handlers[job.type].is_async and not self._runs_in_process(job):
            asyncio.run_coroutine_threadsafe(self._run_async(claimed), self._event_loop())
            return
        self._waiting.put(claimed)
        if self._started_threads < min(self.threads, active):
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
            claimed = self._waiting.get()
            if self._processes is not None and self._runs_in_process(claimed.job):
                self._run_in_process(claimed, self._processes)
            else:
                self._run(claimed)

    def _run(self, claimed: InFlightJob) -> None:
        started_at = monotonic()
        if not self._in_flight.start(claimed, started_at):
            self._free()
            return
        handler = self._handlers[claimed.job.type]
        claimed.thread_id = threading.get_ident()
        try:
            value = handler.function(*handler.arguments(claimed.job.payload, claimed.context))
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything, SystemExit too: each is an end
            exit_if_forked(error)
            end = self._raised(claimed, error)
        else:
            exit_if_forked()
            end = self._returned(claimed, value)
        self._ended(claimed, end, started_at)

    def _runs_in_process(self, job: Job) -> bool:
        """A handler that asks for it, and a suspect of a crash. One that is still suspect after that runs alone."""
        if self._processes is None:
            return False
        handler = self._handlers[job.type]
        return handler.process or (suspicion_of(job) == RUNS_IN_PROCESS and not handler.starts_process)

    def _run_in_process(self, claimed: InFlightJob, processes: Processes) -> None:
        handler = self._handlers[claimed.job.type]
        if not handler.process:
            self._emit(RunsApart(claimed.job, "in a process"))
        started_at = monotonic()
        claimed.thread_id = threading.get_ident()
        try:
            with processes.child(handler) as child:
                started_at = monotonic()  # not before the process is ready: its import takes no time of the job
                if not self._in_flight.start(claimed, started_at):
                    self._free()
                    return
                value = child.run(claimed.context)
        except BaseException as error:  # noqa: BLE001 - as above
            end = self._raised(claimed, error)
            if not handler.process:
                end = _still_suspected(end, error)
        else:
            end = self._returned(claimed, value)
        self._ended(claimed, end, started_at)

    async def _run_async(self, claimed: InFlightJob) -> None:
        handler = self._handlers[claimed.job.type]
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        if task is not None:
            claimed.context.when_cancelled(partial(loop.call_soon_threadsafe, task.cancel))
        started_at = monotonic()
        try:
            async with self._coroutines:
                started_at = monotonic()
                if not self._in_flight.start(claimed, started_at):
                    self._free()
                    return
                value = await handler.function(*handler.arguments(claimed.job.payload, claimed.context))
        except BaseException as error:  # noqa: BLE001 - as above; a cancelled task ends here too
            end = self._raised(claimed, error)
        else:
            end = self._returned(claimed, value)
        self._ended(claimed, end, started_at)

    def _returned(self, claimed: InFlightJob, value: Json) -> End:
        return outcome.returned(claimed.job, value, self._max_result_bytes, outcome.moment())

    def _raised(self, claimed: InFlightJob, error: BaseException) -> End:
        """An exception that follows from our own cancellation: the reason for the cancellation decides the end."""
        job = claimed.job
        match claimed.context.cancelled_by:
            case "drain":
                return outcome.requeued(job)
            case "timeout":
                error = self._timeout(job, f"was cancelled ({type(error).__name__})")
            case "lease lost" | None:
                pass
        return outcome.raised(job, error, self.policy_of(job.type), outcome.moment(), self._error_detail)

    def overdue(self, job: Job) -> End:
        """The end of a job whose handler does not stop after its timeout, when the worker exits."""
        return outcome.raised(
            job, self._timeout(job, "did not stop"), self.policy_of(job.type), outcome.moment(), self._error_detail
        )

    def _timeout(self, job: Job, what_then: str) -> TimeoutError:
        return TimeoutError(f"ran longer than its {self._handlers[job.type].timeout_seconds:g} s and {what_then}")

    def _ended(self, claimed: InFlightJob, end: End, started_at: float) -> None:
        """If a drain or a lost lease has taken the job out before, its end is decided: this one is dropped."""
        mine = self._in_flight.take(claimed.job) is not None
        self._emit(Handled(end, monotonic() - started_at))
        if mine:
            self._write(replace(end, trace=None) if end.trace else end)
        self._free()

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="jobtide-async", daemon=True).start()
        return self._loop


def _still_suspected(end: End, error: BaseException) -> End:
    """A suspect that ended its own process stays apart. One without a process has shown nothing: it runs alone."""
    if isinstance(error, ProcessNotReady):
        return outcome.suspected(outcome.requeued(end.job), WAITS_ALONE)
    return outcome.suspected(end, RUNS_IN_PROCESS) if isinstance(error, ProcessDied) else end
