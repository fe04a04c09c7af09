"""The worker: claim, run, finish, until told to stop; then drain."""

from __future__ import annotations

import math
import signal
from queue import Empty, SimpleQueue
from time import monotonic
from types import FrameType
from typing import Literal

from jobtide.errors import JobtideError, TableUnusable
from jobtide.job import Job
from jobtide.queue.job_queue import JobQueue
from jobtide.queue.outage import Outage, jittered
from jobtide.queue.ring import Ring
from jobtide.queue.session import DatabaseAway
from jobtide.telemetry.events import Claimed, Drained, Draining, Emit, RescuedJobs
from jobtide.telemetry.status_server import Health
from jobtide.worker import outcome
from jobtide.worker.finisher import Finisher
from jobtide.worker.in_flight import InFlight, InFlightJob
from jobtide.worker.runner import Runner

_FIRST_IDLE_SECONDS = 0.1  # the first look after the queue ran empty; it doubles up to poll_seconds
_REST_PER_LOOK = 4.0  # what an empty look took, four times: a table without its index is looked at less often
_LONGEST_REST_SECONDS = 10.0
_TURN_SECONDS = 5.0  # the loop turns at least so often, which is what /livez watches
_CANCELLED_GRACE_SECONDS = 2.0  # for handlers that heed ctx.cancelled, after the drain time
_FLUSH_SECONDS = 5.0  # for the last write; the pod's grace period is the drain time plus 10

Mail = Literal["freed", "stop", "woken"]


class Worker:
    """Owns the claim loop. Everything it touches is handed in; `run` returns the exit code."""

    def __init__(
        self,
        *,
        queue: JobQueue,
        finisher: Finisher,
        in_flight: InFlight,
        runner: Runner,
        ring: Ring,
        mailbox: SimpleQueue[Mail],
        slots: int,
        poll_seconds: float,
        drain_seconds: float,
        emit: Emit,
        polls_at_each_end: bool = False,
    ) -> None:
        self._queue = queue
        self._finisher = finisher
        self._in_flight = in_flight
        self._runner = runner
        self._ring = ring
        self._per_key = 1
        self._mailbox = mailbox
        self._slots = slots
        self._poll_seconds = poll_seconds
        self._drain_seconds = drain_seconds
        self._emit = emit
        self._polls_at_each_end = polls_at_each_end  # under tenant caps an end here makes room for the next
        self._idle_seconds = _FIRST_IDLE_SECONDS
        self._outage = Outage("claim", emit)
        self._own_pod_rescued = False
        self._active = 0  # places taken: jobs claimed here whose handler has not returned, or does not have to
        self._ever_polled = False
        self.stops = 0  # how many signals have come
        self.health = Health(monotonic())

    def stop(self, _signal: int = signal.SIGTERM, _frame: FrameType | None = None) -> None:
        """A signal handler: SimpleQueue.put is safe where a lock is not."""
        self.stops += 1
        self._mailbox.put("stop")

    def wake(self) -> None:
        """Something may be due: look now. From any thread."""
        self._mailbox.put("woken")

    def run(self) -> int:
        self._finisher.start()
        while not self.stops:
            self._rest(self.run_once(monotonic()))
            if not self._finisher.is_running:
                raise JobtideError(
                    "the thread that writes ends has died (its traceback is above), so no job can end here: "
                    "start the worker again, which returns its jobs, and report this"
                )
        return self._drain()

    def run_once(self, now: float) -> float:
        """One turn: claims what can start now. Returns how many seconds to rest; 0 turns again at once."""
        self.health.turned_at = now
        free = self._slots - self._active
        if free <= 0:
            return math.inf
        if (wait_seconds := self._outage.wait_seconds(now)) > 0:
            return wait_seconds
        try:
            return self._claim(free, now)
        except (DatabaseAway, TableUnusable) as away:
            if isinstance(away, TableUnusable) and not self._ever_polled:
                raise
            self.health.polled = False
            return self._outage.failed(away, now)

    def _claim(self, free: int, now: float) -> float:
        if not self._own_pod_rescued:
            self._rescue_own_pod()
        claim = self._queue.claim(self._ring, free, min(free, self._per_key))
        took_seconds = monotonic() - now
        self.health.polled = self._ever_polled = True
        self._outage.succeeded()
        self._ring, self._per_key = claim.ring, claim.rows_per_key
        if claim.jobs:
            self._emit(Claimed(claim.jobs, took_seconds))
            for job in claim.jobs:
                self._begin(job, now)
        return self._rest_after(took_seconds, found=bool(claim.jobs), drained=claim.drained)

    def _rest_after(self, took_seconds: float, *, found: bool, drained: bool) -> float:
        """Worked: empty looks rest 0.1, 0.2, 0.4, 0.8, 1 s (each jittered); a find starts over."""
        if found:
            self._idle_seconds = min(_FIRST_IDLE_SECONDS, self._poll_seconds)
        if not drained:
            return 0.0
        rest = max(self._idle_seconds, min(_REST_PER_LOOK * took_seconds, _LONGEST_REST_SECONDS))
        self._idle_seconds = min(self._poll_seconds, 2 * self._idle_seconds)
        return jittered(rest)

    def _begin(self, job: Job, claimed_at: float) -> None:
        limit = self._runner.policy_of(job.type).max_attempts
        if job.attempt > limit:
            self._finisher.put(outcome.exhausted(job, limit, outcome.moment()))
            return
        self._active += 1
        self._runner.start(job, claimed_at, active=self._active)

    def _rescue_own_pod(self) -> None:
        rescued = self._queue.rescue_own_pod()
        self._own_pod_rescued = True
        if rescued:
            self._emit(RescuedJobs(len(rescued), "own_pod"))

    def _rest(self, seconds: float) -> None:
        """Waits for `seconds`, a signal, a hint, or, where an end can make work startable, the first end."""
        until = monotonic() + min(seconds, _TURN_SECONDS)
        while not self.stops:
            mail = self._next_mail(until - monotonic())
            if mail in {None, "woken"} or (mail == "freed" and (seconds == math.inf or self._polls_at_each_end)):
                break
        while self._next_mail(0) is not None:  # take what else has come: one claim then fills all free slots
            pass

    def _next_mail(self, wait_seconds: float) -> Mail | None:
        try:
            mail = self._mailbox.get(timeout=wait_seconds) if wait_seconds > 0 else self._mailbox.get_nowait()
        except Empty:
            return None
        if mail == "freed":
            self._active -= 1
        return mail

    def _drain(self) -> int:
        """Claims nothing more, lets running jobs finish, gives the rest back, writes all ends. The exit code."""
        self._emit(Draining(self._active, self._drain_seconds))
        self._queue.close()
        returned = self._give_back(self._in_flight.take_unstarted())
        self._await_running(self._drain_seconds, stops_allowed=1)
        if running := self._in_flight.all():
            for claimed in running:
                claimed.context.cancel("drain")
            self._await_running(_CANCELLED_GRACE_SECONDS, stops_allowed=1)
        returned += self._give_back([claimed for claimed in self._in_flight.all() if self._in_flight.take(claimed.job)])
        unwritten = self._finisher.stop(_FLUSH_SECONDS)
        self._emit(Drained(returned, unwritten))
        return 1 if unwritten else 0

    def _await_running(self, seconds: float, *, stops_allowed: int) -> None:
        until = monotonic() + seconds
        while self._active and self.stops <= stops_allowed and (left := until - monotonic()) > 0:
            self._next_mail(min(left, _TURN_SECONDS))
            self.health.turned_at = monotonic()

    def _give_back(self, jobs: list[InFlightJob]) -> int:
        for claimed in jobs:
            self._finisher.put(outcome.given_back(claimed.job))
        return len(jobs)
