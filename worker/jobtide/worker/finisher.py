"""Writes the ends of jobs in batches, extends leases and rescues expired ones, on a connection of its own.

Ends that arrive while a batch is being written go into the next one: no end waits for a timer, and the busier the
worker, the larger the batches.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import monotonic
from uuid import UUID

from jobtide.backoff import jittered
from jobtide.job import End
from jobtide.queue.job_queue import JobQueue
from jobtide.queue.outage import Outage
from jobtide.queue.session import BadData, DatabaseUnreachable
from jobtide.telemetry.events import Emit, EndRefused, Finished, LeaseLost, Overdue, RescuedJobs
from jobtide.worker import outcome
from jobtide.worker.in_flight import InFlight, InFlightJob

_BATCH = 500  # rows in one UPDATE: at most some hundred kilobytes of parameters
_RESCUE_EVERY_SECONDS = 30.0
_RESCUE_AT_MOST = 200
_CHECK_EVERY_SECONDS = 1.0  # how late a timeout may be noticed


class Finisher:
    """A thread that writes ends. `put` is thread-safe; `beat` is called with time.monotonic() at each pass."""

    def __init__(
        self,
        queue: JobQueue,
        in_flight: InFlight,
        emit: Emit,
        *,
        batch: int = _BATCH,
        beat: Callable[[float], object] = lambda now: None,  # noqa: ARG005 - a worker without a lease keeper
    ) -> None:
        self._queue = queue
        self._in_flight = in_flight
        self._emit = emit
        self._batch = batch
        self._beat = beat
        self._arrived: SimpleQueue[End | None] = SimpleQueue()
        self._unwritten: list[End] = []
        self._uncertain: set[tuple[UUID, str]] = set()  # sent once, but the answer was lost: they may have committed
        self._rescue_at = monotonic() + _RESCUE_EVERY_SECONDS
        self._outage = Outage("finish", emit)
        self._stopping = False
        self._thread = threading.Thread(target=self.run, name="jobtide-finisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def put(self, end: End) -> None:
        self._arrived.put(end)

    def stop(self, timeout_seconds: float) -> int:
        """Writes the ends that are left, for up to `timeout_seconds`. Returns how many could not be written."""
        self._stopping = True
        self._arrived.put(None)
        self._thread.join(timeout_seconds)
        return len(self._unwritten) if self._thread.is_alive() else 0

    def run(self) -> None:
        """Runs until it is stopped and every end is written."""
        while not (self._stopping and not self._unwritten and self._arrived.empty()):
            self._beat(monotonic())
            self._collect(self._wait_seconds(monotonic()))
            try:
                self.run_once(monotonic())
            except DatabaseUnreachable as error:
                self._outage.failed(error, monotonic())
        self._queue.close()

    def run_once(self, now: float) -> None:
        """One pass: writes ends, extends leases that are due, rescues every 30 s. Raises DatabaseUnreachable."""
        self._report_overdue(now)
        if self._outage.wait_seconds(now) > 0:
            return
        if self._unwritten:
            self._write(self._unwritten[: self._batch])
        self._extend(self._in_flight.to_extend(now), now)
        if now >= self._rescue_at and not self._stopping:
            self._rescue_at = now + jittered(_RESCUE_EVERY_SECONDS)
            self._rescued(len(self._queue.rescue_expired(_RESCUE_AT_MOST)))
        self._outage.succeeded()

    def _collect(self, wait_seconds: float) -> None:
        """Waits for the first end, then takes all that have arrived."""
        try:
            end = self._arrived.get(timeout=wait_seconds) if wait_seconds > 0 else self._arrived.get_nowait()
            while True:
                if end is not None:
                    self._unwritten.append(end)
                end = self._arrived.get_nowait()
        except Empty:
            return

    def _wait_seconds(self, now: float) -> float:
        if self._unwritten or self._outage:
            return self._outage.wait_seconds(now)
        extend_at = self._in_flight.next_extension_at()
        until = min(_CHECK_EVERY_SECONDS, self._rescue_at - now, *(() if extend_at is None else (extend_at - now,)))
        return max(0.0, until)

    def _write(self, ends: Sequence[End]) -> None:
        started_at = monotonic()
        try:
            passed = self._queue.finish(ends)
        except DatabaseUnreachable:
            self._uncertain.update(_key(end) for end in ends)
            raise
        except BadData as refused:
            self._write_singly(ends, str(refused))
            return
        lost = self._really_lost([end for end in ends if end.job.id not in passed])
        self._written(ends)
        self._emit(Finished(len(ends) - len(lost), monotonic() - started_at))
        for end in lost:
            self._emit(LeaseLost(end.job, "finish"))

    def _really_lost(self, refused: list[End]) -> list[End]:
        """Without the ends that a first try, whose answer was lost, has written: the fence refuses those too."""
        uncertain = [end for end in refused if _key(end) in self._uncertain]
        confirmed = self._queue.confirm(uncertain) if uncertain else set()
        return [end for end in refused if end.job.id not in confirmed]

    def _write_singly(self, ends: Sequence[End], message: str) -> None:
        """The server refused one value of the batch: the other ends are written without it."""
        if len(ends) > 1:
            for end in ends:
                self._write([end])
            return
        (end,) = ends
        described = outcome.error_object(end.job, "ResultNotStorable", message, outcome.moment())
        self._emit(EndRefused(end.job, message))
        self._unwritten[self._unwritten.index(end)] = End(end.job, "failed", described, reason="failed")

    def _written(self, ends: Sequence[End]) -> None:
        done = set(map(id, ends))
        self._unwritten = [end for end in self._unwritten if id(end) not in done]
        if self._uncertain:
            self._uncertain.difference_update(map(_key, ends))

    def _extend(self, jobs: list[InFlightJob], now: float) -> None:
        if not jobs:
            return
        held = self._queue.extend([claimed.context for claimed in jobs])
        self._in_flight.extended([claimed for claimed in jobs if claimed.job.id in held], now)
        for claimed in jobs:
            if claimed.job.id not in held and self._in_flight.take(claimed.job) is not None:
                claimed.context.cancel("lease lost")
                self._emit(LeaseLost(claimed.job, "extend"))

    def _rescued(self, count: int) -> None:
        if count:
            self._emit(RescuedJobs(count, "lease_expired"))

    def _report_overdue(self, now: float) -> None:
        overdue = self._in_flight.newly_overdue(now)
        frames = sys._current_frames() if overdue else {}  # noqa: SLF001 - the only way to read another thread's stack
        for claimed in overdue:
            frame = frames.get(claimed.thread_id or 0)
            stack = "".join(traceback.format_stack(frame)) if frame else "on the event loop"
            self._emit(Overdue(claimed.job, stack))
            claimed.context.cancel("timeout")


def _key(end: End) -> tuple[UUID, str]:
    return (end.job.id, end.job.token)
