"""Writes the ends of jobs in batches, extends leases and rescues expired ones, on a connection of its own.

Ends that arrive while a batch is being written go into the next one: no end waits for a timer, and the busier the
worker, the larger the batches.

A refusal by the server concerns a row: the batch is halved until the refused row is alone, and the other ends are
written at once. See docs/adr/2026-11-28-a-refusal-concerns-a-row.md.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from queue import Empty, SimpleQueue
from time import monotonic
from uuid import UUID

from jobtide.backoff import jittered
from jobtide.context import Context
from jobtide.job import End
from jobtide.queue.job_queue import JobQueue
from jobtide.queue.outage import Outage
from jobtide.queue.refusals import LOCKED, RowRefused, isolate
from jobtide.queue.session import DatabaseUnreachable
from jobtide.telemetry.events import (
    Emit,
    EndGivenUp,
    EndRefused,
    Finished,
    LeaseLost,
    Overdue,
    RescuedJobs,
    RowLeft,
)
from jobtide.worker import outcome
from jobtide.worker.backlog import Backlog, Waiting
from jobtide.worker.claim_look import ClaimLook, lose
from jobtide.worker.in_flight import InFlight, InFlightJob
from jobtide.worker.refused_ends import RefusedEnds

_BATCH = 500  # rows in one UPDATE
_BATCH_BYTES = 1 << 20  # of results in one UPDATE: as parameters they may take four times as much
_RESCUE_EVERY_SECONDS = 30.0
_RESCUE_AT_MOST = 200
_CHECK_EVERY_SECONDS = 1.0  # how late a timeout may be noticed
_ISOLATE_SECONDS = 2.0  # in one pass; leases are extended between passes
_EVIDENCE_SECONDS = 60.0  # an end that passed in this time shows that the table takes ends at all
_TRIES_WITHOUT_EVIDENCE = 5  # about half a minute
_STOPPING_RETRY_SECONDS = 0.2
_ONE_CAUSE = 8  # so many refusals of one cause, without a success, may speak for the rest of a batch


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
        backlog: Backlog | None = None,
    ) -> None:
        self._queue = queue
        self._in_flight = in_flight
        self._emit = emit
        self._batch = batch
        self._beat = beat
        self._arrived: SimpleQueue[Waiting | None] = SimpleQueue()
        self.backlog = backlog or Backlog(in_flight.lease_seconds)
        self._unwritten: list[Waiting] = []
        self._refused = RefusedEnds()
        self._claims = ClaimLook(queue, in_flight, emit)
        self._again: list[Waiting] = []  # refused, now with the server's words as their job's error
        self._passed_at = 0.0  # when an end last passed the fence
        self._share = 1.0  # of a full batch; less while full ones take too long
        self._tried_at = 0.0
        self._extend_at = 0.0  # when the leases of unwritten ends are looked at
        self._rescue_at = monotonic() + _RESCUE_EVERY_SECONDS
        self._outage = Outage("finish", emit)
        self._stopping = False
        self._lends = False
        self._last_try = False  # the refused ends are tried once more before the worker exits
        self._thread = threading.Thread(target=self.run, name="jobtide-finisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def put(self, end: End) -> None:
        self._arrived.put(self.backlog.add(end))

    def lend(self) -> None:
        """Closes the connection as soon as no end waits: the claims get none, and the role may have a limit."""
        self._lends = True

    def stop(self, timeout_seconds: float) -> int:
        """Writes the ends that are left, for up to `timeout_seconds`. Returns how many could not be written."""
        self._stopping = True
        self._arrived.put(None)
        self._thread.join(timeout_seconds)
        return self.backlog.count

    def run(self) -> None:
        """Runs until it is stopped and every end is written, or refused once more."""
        while not self._is_done():
            self._beat(monotonic())
            self._collect(self._wait_seconds(monotonic()))
            try:
                self.run_once(monotonic())
            except DatabaseUnreachable as error:
                self._outage.failed(error, monotonic())
        self._queue.close()

    def _is_done(self) -> bool:
        if not self._stopping or self._unwritten or not self._arrived.empty():
            return False
        if not self._last_try:
            self._last_try = True
            self._take_back(self._refused.release_all())
        return not self._unwritten

    def run_once(self, now: float) -> None:
        """One pass: writes ends, extends leases, looks at claims, rescues at times. Raises DatabaseUnreachable."""
        self._report_overdue(now)
        if self._outage_seconds(now) > 0:
            return
        self._tried_at = now
        if self._unwritten:
            self._write(_first(self._unwritten, self._batch, self._share))
        self._try_refused(now)
        self._extend(now)
        self._claims.run_once(now)
        if now >= self._rescue_at and not self._stopping:
            self._rescued(len(self._queue.rescue_expired(_RESCUE_AT_MOST)))
            self._rescue_at = now + jittered(_RESCUE_EVERY_SECONDS)  # in an outage it stays due: it is the next try
        self._outage.succeeded()
        if self._lends:
            self._lends = False
            if not self._unwritten and self._arrived.empty():
                self._queue.close()

    def _collect(self, wait_seconds: float) -> None:
        """Waits for the first end, then takes all that have arrived."""
        try:
            waiting = self._arrived.get(timeout=wait_seconds) if wait_seconds > 0 else self._arrived.get_nowait()
            while True:
                if waiting is not None:
                    self._unwritten.append(waiting)
                waiting = self._arrived.get_nowait()
        except Empty:
            pass
        self.backlog.oldest(self._unwritten[0].since if self._unwritten else None)

    def _wait_seconds(self, now: float) -> float:
        if self._unwritten or self._outage:
            return self._outage_seconds(now)
        at = (
            self._rescue_at,
            self._in_flight.next_extension_at(),
            self._claims.next_at(),
            self._refused.next_try_at(),
        )
        return max(0.0, min(_CHECK_EVERY_SECONDS, *(one - now for one in at if one is not None)))

    def _outage_seconds(self, now: float) -> float:
        """Until the next try; a worker that stops has no time for the long waits."""
        if self._outage and self._stopping:
            return max(0.0, self._tried_at + _STOPPING_RETRY_SECONDS - now)
        return self._outage.wait_seconds(now)

    def _write(self, ends: list[Waiting]) -> None:
        """Writes these ends of `_unwritten`; those that are settled (written, lost or refused) leave it."""
        batch = _Batch(monotonic())
        try:
            self._write_part(ends, batch)
        except DatabaseUnreachable:
            self._share = max(self._share / 2, 1 / _BATCH)
            raise
        finally:
            settled = batch.settled
            self._unwritten = [waiting for waiting in self._unwritten if id(waiting) not in settled]
            for waiting, refusal in batch.refused:
                self._refuse(waiting, refusal)
            for waiting, refusal in batch.put_off:
                self._hold(waiting, refusal)
            self._write_again()

    def _write_part(self, part: list[Waiting], batch: _Batch) -> None:
        try:
            self._send(part, self._queue.finish)
        except RowRefused as refusal:
            if not refusal.is_lock:
                self._halve(part, refusal, batch)
                return
            try:  # the rows that are not locked don't wait for the others
                self._send(part, self._queue.finish_unlocked)
            except RowRefused as again:
                self._halve(part, again, batch)
                return
        batch.settled.update(map(id, part))

    def _halve(self, part: list[Waiting], refusal: RowRefused, batch: _Batch) -> None:
        if len(part) == 1:
            batch.settled.update(map(id, part))
            batch.refused.append((part[0], refusal))
        elif self._speaks_for_all(refusal, batch):
            batch.settled.update(map(id, part))
            batch.put_off += [(waiting, refusal) for waiting in part]
        elif monotonic() < batch.began_at + _ISOLATE_SECONDS:
            middle = len(part) // 2
            for half in (part[:middle], part[middle:]):
                self._write_part(half, batch)
        else:  # what is left waits for the next pass, with smaller batches: a timeout may be the cause
            self._share = max(self._share / 2, 1 / _BATCH)

    def _speaks_for_all(self, refusal: RowRefused, batch: _Batch) -> bool:
        """True if the fault may be the table's. A row's own is searched: its neighbours' ends are to be written."""
        if self._passed_at >= batch.began_at or not batch.has_only(refusal):
            return False
        return refusal.may_pass or not self._has_evidence(monotonic())

    def _has_evidence(self, now: float) -> bool:
        """True if the table takes ends at all."""
        return now - self._passed_at < _EVIDENCE_SECONDS

    def _send(self, part: list[Waiting], finish: Callable[[list[End]], set[UUID]]) -> bool:
        """Sends one statement, and decides what each of its ends has become. True if one has passed."""
        started_at = monotonic()
        try:
            passed = finish([waiting.end for waiting in part])
            # All, mostly; an id that is here twice has passed once.
            missing = [one for one in part if one.end.job.id not in passed] if len(passed) < len(part) else []
            locked, lost = self._locked_and_lost(missing) if missing else ([], [])
        except DatabaseUnreachable:
            for waiting in part:
                waiting.uncertain = True
            raise
        self.backlog.remove([waiting for waiting in part if waiting not in locked] if locked else part)
        count = len(part) - len(locked) - len(lost)
        if count:
            self._passed_at = monotonic()
            self._share = min(1.0, 2 * self._share)
        self._emit(Finished(count, monotonic() - started_at))
        for waiting in lost:
            self._emit(LeaseLost(waiting.end.job, "finish"))
        for waiting in locked:
            self._refuse(waiting, LOCKED)
        return count > 0

    def _locked_and_lost(self, missing: list[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
        """The ends whose row is locked, and those whose lease is lost.

        Neither are the ends that a first try, whose answer was lost, has written: the fence refuses those too.
        """
        uncertain = [waiting.end for waiting in missing if waiting.uncertain]
        confirmed = self._queue.confirm(uncertain) if uncertain else set()
        open_ = [waiting for waiting in missing if waiting.end.job.id not in confirmed]
        held = self._queue.held([waiting.end.job for waiting in open_]) if open_ else set()
        locked = [waiting for waiting in open_ if waiting.end.job.id in held]
        return locked, [waiting for waiting in open_ if waiting.end.job.id not in held]

    def _refuse(self, waiting: Waiting, refusal: RowRefused) -> None:
        """The server refuses this end alone: the job ends as failed with the server's words, or the end waits."""
        waiting.tries += 1
        shown = self._has_evidence(monotonic()) or waiting.tries >= _TRIES_WITHOUT_EVIDENCE
        job, is_requeue = waiting.end.job, waiting.end.reason == "returned"
        if shown and not (refusal.may_pass or waiting.replaced or is_requeue):
            described = outcome.error_object(job, "ResultNotStorable", str(refusal), outcome.moment())
            self.backlog.resize(waiting, End(job, "failed", described, reason="failed"))
            waiting.replaced = True
            self._again.append(waiting)
            self._emit(EndRefused(job, str(refusal)))
        else:
            self._hold(waiting, refusal)

    def _hold(self, waiting: Waiting, refusal: RowRefused) -> None:
        """The end waits with the others of this cause."""
        job = waiting.end.job
        if not waiting.reported:
            waiting.reported = True
            self._emit(RowLeft(str(job.id), "finish", str(refusal), job))
        given_up = self._refused.hold(waiting, refusal, monotonic())
        self.backlog.remove(given_up)
        for one in given_up:
            self._emit(EndGivenUp(one.end.job))

    def _try_refused(self, now: float) -> None:
        """Tries some of the refused ends of each cause that is due; if one passes, the others follow."""
        for cause in self._refused.due(now):
            passed = False
            probes = self._refused.probes(cause)
            while probes:
                try:
                    passed |= self._send(probes[:1], self._queue.finish_unlocked)
                except RowRefused as refusal:
                    self._refuse(probes[0], refusal)
                except DatabaseUnreachable:
                    self._take_back(probes)
                    raise
                del probes[0]
            if passed:
                self._take_back(self._refused.release(cause))
            else:
                self._refused.back_off(cause, now)
        self._write_again()

    def _take_back(self, ends: list[Waiting]) -> None:
        """These ends are no longer held up by a refusal; the wait before does not count as a stall."""
        now = monotonic()
        for waiting in ends:
            waiting.since = now
        self._unwritten += ends

    def _write_again(self) -> None:
        self._unwritten += self._again
        self._again.clear()

    def _extend(self, now: float) -> None:
        """Extends the leases that have used a third of their time: of running jobs and of unwritten ends."""
        jobs: list[InFlightJob | Waiting] = [*self._in_flight.to_extend(now)]
        if now >= self._extend_at:
            self._extend_at = now + min(_CHECK_EVERY_SECONDS, self._in_flight.lease_seconds / 12)
            jobs += [one for one in chain(self._unwritten, self._refused) if one.extend_at <= now]
        while jobs:
            part, jobs = _split(jobs, self._batch)
            isolate(part, partial(self._extend_part, now), self._extension_refused)

    def _extend_part(self, now: float, jobs: Sequence[InFlightJob | Waiting]) -> None:
        """The new lease is counted from before the request: that is the safe side."""
        extended = self._queue.extend([_context(one) for one in jobs])
        missing = [one for one in jobs if _context(one).job.id not in extended]
        held = self._queue.held([_context(one).job for one in missing]) if missing else set()
        for one in jobs:
            job = _context(one).job
            if job.id in extended:
                seconds = self._in_flight.lease_seconds / 3
            elif job.id in held:  # another transaction has locked the row
                seconds = self._in_flight.lease_seconds / 12
            elif isinstance(one, Waiting):  # the fence will tell
                seconds = self._in_flight.lease_seconds
            else:
                lose(one, "extend", self._in_flight, self._emit)
                continue
            one.extend_at = now + seconds

    def _extension_refused(self, one: InFlightJob | Waiting, refusal: RowRefused) -> None:
        """Tries again soon, without the progress, which may be what the server refuses."""
        one.extend_at = monotonic() + self._in_flight.lease_seconds / 12
        context = _context(one)
        context.reported = None
        if not one.reported:
            one.reported = True
            self._emit(RowLeft(str(context.job.id), "extend", str(refusal), context.job))

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


@dataclass(slots=True)
class _Batch:
    """What one statement after another finds out about the ends of one batch."""

    began_at: float
    settled: set[int] = field(default_factory=set)  # id() of each end that is written, lost, refused or put off
    refused: list[tuple[Waiting, RowRefused]] = field(default_factory=list)  # each alone
    put_off: list[tuple[Waiting, RowRefused]] = field(default_factory=list)  # together with others: not their verdict

    def has_only(self, refusal: RowRefused) -> bool:
        """True if so many ends were refused for this cause that it speaks for the rest."""
        return len(self.refused) >= _ONE_CAUSE and all(one.cause == refusal.cause for _, one in self.refused)


def _context(one: InFlightJob | Waiting) -> Context:
    return Context(one.end.job) if isinstance(one, Waiting) else one.context


def _first(ends: Sequence[Waiting], at_most: int, share: float) -> list[Waiting]:
    """The first ends, as many as one statement may hold: by rows and by bytes of results, at least one.

    `share` of both bounds, from 0 to 1.
    """
    rows, size = max(1, int(at_most * share)), 0
    for number, waiting in enumerate(ends[:rows]):
        size += waiting.size
        if size > _BATCH_BYTES * share and number:
            return list(ends[:number])
    return list(ends[:rows])


def _split(
    jobs: list[InFlightJob | Waiting], at_most: int
) -> tuple[list[InFlightJob | Waiting], list[InFlightJob | Waiting]]:
    """The same for extensions, by bytes of progress; and the rest."""
    size = 0
    for number, one in enumerate(jobs[:at_most]):
        size += len(_context(one).reported or "")
        if size > _BATCH_BYTES and number:
            return jobs[:number], jobs[number:]
    return jobs[:at_most], jobs[at_most:]
