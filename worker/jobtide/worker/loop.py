"""The worker: claims, runs and finishes jobs until a signal stops it; then drains."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from time import monotonic
from types import FrameType

from jobtide.backoff import jittered
from jobtide.database_errors import one_line
from jobtide.errors import JobtideError, TableUnusable
from jobtide.job import Job
from jobtide.queue.claims import Claim
from jobtide.queue.job_queue import JobQueue
from jobtide.queue.outage import Outage
from jobtide.queue.rest import Rest
from jobtide.queue.ring import Ring
from jobtide.queue.session import DatabaseUnreachable
from jobtide.telemetry.events import (
    AllStuck,
    Claimed,
    ClaimRefused,
    ClaimsPaused,
    ClaimsResumed,
    Drained,
    Draining,
    Emit,
    RescuedJobs,
    RowLeft,
)
from jobtide.telemetry.health import Health
from jobtide.worker import outcome
from jobtide.worker.apart import Alone
from jobtide.worker.finisher import Finisher
from jobtide.worker.in_flight import InFlight, InFlightJob
from jobtide.worker.mailbox import Mail, Mailbox
from jobtide.worker.runner import Runner
from jobtide.worker.stuck import all_stuck

_FIRST_IDLE_SECONDS = 0.1  # before the first poll after the queue ran empty; doubles up to poll_seconds
_IDLE_PER_POLL = 4.0  # at least four times what an empty poll took: a table without its index is polled less often
_LONGEST_IDLE_SECONDS = 10.0
_PASS_SECONDS = 5.0  # the longest time between two passes of the loop, which /livez watches
_CANCELLED_GRACE_SECONDS = 2.0  # after the drain time, for handlers that stop when ctx.cancelled is true
_PAUSED_SECONDS = 0.25  # between two looks at ends that are not written
_FULL_SECONDS = 0.01  # between two looks at a backlog that only has to become smaller
_FLUSH_SECONDS = 5.0  # for the last write; the pod's grace period is the drain time plus 10

EXIT_STUCK = 3  # every place was held by a handler that did not stop after its timeout


class Worker:
    """The claim loop. All its parts are arguments, made in commands/worker.py."""

    def __init__(
        self,
        *,
        queue: JobQueue,
        finisher: Finisher,
        in_flight: InFlight,
        runner: Runner,
        ring: Ring,
        mailbox: Mailbox,
        slots: int,
        poll_seconds: float,
        drain_seconds: float,
        emit: Emit,
        polls_at_each_end: Callable[[], bool] = lambda: False,
        rest: Rest | None = None,
        rest_seconds: float = 0.0,
    ) -> None:
        """`poll_seconds`: the longest wait between two polls; `rest_seconds`: where an INSERT wakes this worker."""
        self._queue = queue
        self._finisher = finisher
        self._in_flight = in_flight
        self._runner = runner
        self._ring = ring
        self._per_key = 1
        self._mailbox = mailbox
        self._slots = slots
        self._poll_seconds = poll_seconds
        self._rest = rest
        self._rest_seconds = rest_seconds
        self._drained = True  # by the last claim: nothing else was due
        self._drain_seconds = drain_seconds
        self._emit = emit
        self._polls_at_each_end = polls_at_each_end  # under tenant caps an end here makes room for another job
        self._idle_seconds = _FIRST_IDLE_SECONDS
        self._outage = Outage("claim", emit)
        self._own_pod_rescued = False
        self._active = 0  # jobs that were given to the runner and whose place is not free again
        self._ever_polled = False
        self._paused_at: float | None = None  # since when nothing is claimed because ends are not written
        self._alone = Alone(in_flight, queue.extend, finisher.put, emit)
        self.stops = 0  # signals received
        self.health = Health(monotonic(), unwritten=finisher.backlog.words)

    def stop(self, _signal: int = signal.SIGTERM, _frame: FrameType | None = None) -> None:
        """A signal handler."""
        self.stops += 1
        self._mailbox.put("stop")

    @property
    def unwritten(self) -> tuple[int, float]:
        """Ends that are not in the table yet, and how many seconds the oldest has waited."""
        backlog = self._finisher.backlog
        return backlog.count, backlog.oldest_seconds(monotonic())

    def run(self) -> int:
        """Runs until a signal has stopped it and it has drained; returns the exit code. Raises JobtideError."""
        self._finisher.start()
        while not self.stops:
            self._wait(self.run_once(monotonic()))
            if not self._finisher.is_running:
                raise JobtideError(
                    "the thread that writes ends has died (its traceback is above), so no job can end here: "
                    "start the worker again, which returns its jobs, and report this"
                )
            if self._is_stuck(monotonic()):
                self._emit(AllStuck(len(self._in_flight), EXIT_STUCK))
                return self._drain(awaits_running=False) or EXIT_STUCK
        return self._drain()

    def run_once(self, now: float) -> float:
        """One pass: claims the jobs that can start now. Returns the seconds to wait before the next pass."""
        self.health.passed_at = now
        if (wait_seconds := self._pause_seconds(now)) > 0:
            return wait_seconds
        if (wait_seconds := self._outage.wait_seconds(now)) > 0:
            return wait_seconds
        try:
            if (job := self._alone.next_to_start(self._active, now)) is not None:
                self._start(job, now)
            free = self._slots - self._active
            if free <= 0 or self._alone.blocks_claims(self._active, now):
                if self._rest is not None:
                    self._rest.end(passes_on=not self._drained)
                return math.inf
            return self._claim(free, now)
        except (DatabaseUnreachable, TableUnusable) as error:
            if isinstance(error, TableUnusable) and not self._ever_polled:
                raise
            self.health.polled, self.health.refusal = False, one_line(error)
            self._finisher.lend()
            return self._outage.failed(error, now)

    def _pause_seconds(self, now: float) -> float:
        """Until the next look, while too many ends are not written or they wait too long; else 0."""
        backlog = self._finisher.backlog
        stalled_seconds = backlog.stalled_seconds(now)
        if stalled_seconds:
            if self._paused_at is None:
                self._paused_at = now
                self._queue.close()  # the role may have a limit of connections: the finisher's comes first
                self._emit(ClaimsPaused(backlog.count, stalled_seconds))
            return _PAUSED_SECONDS
        if self._paused_at is not None:
            self._emit(ClaimsResumed(now - self._paused_at))
            self._paused_at = None
        return _FULL_SECONDS if backlog.is_full else 0.0

    def _is_stuck(self, now: float) -> bool:
        """True if no place can become free again."""
        if self._alone.blocks_claims(self._active, now):
            return all_stuck(self._in_flight, 1, now)
        return self._active >= self._slots and all_stuck(self._in_flight, self._runner.threads, now)

    def _claim(self, free: int, now: float) -> float:
        if not self._own_pod_rescued:
            self._rescue_own_pod()
        if self._rest is not None:
            self._rest.looks()
        claim = self._queue.claim(self._ring, free, min(free, self._per_key))
        took_seconds = monotonic() - now
        self.health.polled = self._ever_polled = True
        self._outage.succeeded()
        self._ring, self._per_key, self._drained = claim.ring, claim.rows_per_key, claim.drained
        for row in claim.refused:
            if row.failed:
                self._emit(ClaimRefused(str(row.id), row.type, str(row.tenant_id), row.message))
            else:
                self._emit(RowLeft(str(row.id), "claim", row.message))
        if claim.jobs:
            self._emit(Claimed(claim.jobs, took_seconds))
            for job in claim.jobs:
                self._begin(job, now)
        return self._idle_after(claim, took_seconds)

    def _idle_after(self, claim: Claim, took_seconds: float) -> float:
        """Worked: after empty polls 0.1, 0.2, 0.4, 0.8, 1 s (each jittered); after a job again from 0.1."""
        if claim.jobs:
            self._idle_seconds = min(_FIRST_IDLE_SECONDS, self._poll_seconds)
        if not claim.drained or self._begins_to_rest():
            return 0.0
        longest_seconds = self._rest_seconds if self._rest is not None and self._rest.is_on else self._poll_seconds
        pause_seconds = min(_IDLE_PER_POLL * took_seconds, _LONGEST_IDLE_SECONDS)
        idle_seconds = jittered(max(min(self._idle_seconds, longest_seconds), pause_seconds))
        if claim.search_seconds < idle_seconds:
            return max(claim.search_seconds, pause_seconds)  # the poll goes on: the next one is not put off for it
        self._idle_seconds = min(longest_seconds, 2 * self._idle_seconds)
        return idle_seconds

    def _begins_to_rest(self) -> bool:
        """True if an INSERT wakes this worker from now on: it must look once more before it waits."""
        if self._rest is None or self._rest.is_on or self._active >= self._slots:
            return False
        return self._rest.begin()

    def _begin(self, job: Job, claimed_at: float) -> None:
        limit = self._runner.policy_of(job.type).max_attempts
        if job.attempt > limit:
            self._finisher.put(outcome.exhausted(job, limit, outcome.moment()))
        elif not self._alone.keep(job, claimed_at):
            self._start(job, claimed_at)

    def _start(self, job: Job, claimed_at: float) -> None:
        self._active += 1
        self._runner.start(job, claimed_at, active=self._active)

    def _rescue_own_pod(self) -> None:
        rescued = self._queue.rescue_own_pod()
        self._own_pod_rescued = True
        if rescued:
            self._emit(RescuedJobs(len(rescued), "own_pod"))

    def _wait(self, seconds: float) -> None:
        """For `seconds`, or until a signal, a notification, or a handler's end where that can make a job startable."""
        until = monotonic() + min(seconds, _PASS_SECONDS)
        while not self.stops:
            mail = self._next_mail(until - monotonic())
            if mail in {None, "woken"} or (mail == "freed" and (seconds == math.inf or self._polls_at_each_end())):
                break
        while self._next_mail(0) is not None:  # take all mail that has arrived: one claim then fills all free slots
            pass

    def _next_mail(self, wait_seconds: float) -> Mail | None:
        mail = self._mailbox.get(wait_seconds, self._rest)
        if mail == "freed":
            self._active -= 1
        return mail

    def _drain(self, *, awaits_running: bool = True) -> int:
        """Stops claiming, lets running jobs finish, requeues the others, writes all ends. The exit code."""
        drain_seconds = self._drain_seconds if awaits_running else 0.0
        self._emit(Draining(self._active, drain_seconds))
        self._queue.close()
        requeued = self._requeue(self._in_flight.take_unstarted())
        self._await_running(drain_seconds, stops_allowed=1)
        if running := self._in_flight.all():
            for claimed in running:
                claimed.context.cancel("drain")
            self._await_running(_CANCELLED_GRACE_SECONDS, stops_allowed=1)
        requeued += self._requeue([claimed for claimed in self._in_flight.all() if self._in_flight.take(claimed.job)])
        unwritten = self._finisher.stop(_FLUSH_SECONDS)
        self._emit(Drained(requeued, unwritten))
        return 1 if unwritten else 0

    def _await_running(self, seconds: float, *, stops_allowed: int) -> None:
        until = monotonic() + seconds
        while self._active and self.stops <= stops_allowed and (left := until - monotonic()) > 0:
            self._next_mail(min(left, _PASS_SECONDS))
            self.health.passed_at = monotonic()

    def _requeue(self, jobs: list[InFlightJob]) -> int:
        requeued = 0
        for claimed in jobs:
            overdue = claimed.context.cancelled_by == "timeout"  # its timeout counts, however the worker ends
            self._finisher.put(self._runner.overdue(claimed.job) if overdue else outcome.requeued(claimed.job))
            requeued += not overdue
        return requeued
