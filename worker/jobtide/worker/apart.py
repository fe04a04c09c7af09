"""Suspects: jobs that a crash of their worker's process took along. Each runs apart until it is known to be harmless.

After the first crash a job runs in a process of its own (the runner does that); after the second one in a row it runs
alone in the worker. See docs/adr/2026-11-28-suspects-run-apart.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from jobtide.backoff import jittered
from jobtide.context import Context
from jobtide.job import RUNS_ALONE, WAITS_ALONE, End, Job, suspicion_of, with_suspicion
from jobtide.queue.refusals import RowRefused
from jobtide.telemetry.events import Emit, RunsApart
from jobtide.worker.in_flight import InFlight

_BACK_SECONDS = 10.0  # before a suspect that can't run alone here yet is due again
# A worker runs jobs alone for a quarter of its time at most: forged marks must not stop the other tenants.
_PAUSE_PER_SECOND_ALONE = 3.0
_LONGEST_ALONE_SECONDS = 600.0  # then others run beside it: a handler that never returns must not stop them


class Alone:
    """The one job that this worker runs alone, or keeps claimed until the others have ended. For one thread.

    `extend` is that of the job queue: it stores the mark.
    """

    def __init__(
        self,
        in_flight: InFlight,
        extend: Callable[[Sequence[Context]], set[UUID]],
        write: Callable[[End], None],
        emit: Emit,
    ) -> None:
        self._in_flight = in_flight
        self._extend = extend
        self._write = write
        self._emit = emit
        self._job: Job | None = None
        self._started_at: float | None = None
        self._kept_at = 0.0
        self._pause_until = 0.0

    def keep(self, job: Job, now: float) -> bool:
        """True if the job must run alone: it is kept until `next_to_start`, or requeued if another one is kept."""
        if suspicion_of(job) < WAITS_ALONE:
            return False
        if self._job is None and now >= self._pause_until:
            self._job, self._started_at, self._kept_at = job, None, now
            self._in_flight.add(job, now, None)  # so that its lease is extended, and a drain requeues it
        else:
            self._requeue(job)
        return True

    def next_to_start(self, active: int, now: float) -> Job | None:
        """The kept job, once: when no other job is active. Raises DatabaseUnreachable; then it is still kept."""
        if self._job is None or self._started_at is not None or active:
            return None
        running = replace(self._job, result=with_suspicion(self._job, RUNS_ALONE))
        marked = self._mark(running)
        self._started_at = now
        if self._in_flight.take(self._job) is None:  # its lease was lost while it waited
            return None
        if not marked:
            self._requeue(self._job)
            return None
        self._emit(RunsApart(running, "alone"))
        return running

    def _mark(self, job: Job) -> bool:
        """Before the handler is called: only a crash after that counts as an attempt.

        False if its lease is lost, or its row is locked or can't be changed.
        """
        context = Context(job)
        context.reported = json.dumps(job.result)
        try:
            return bool(self._extend([context]))
        except RowRefused:
            return False

    def _requeue(self, job: Job) -> None:
        self._write(End(job, "pending", None, jittered(_BACK_SECONDS), gives_back=True, reason="returned"))

    def blocks_claims(self, active: int, now: float) -> bool:
        """True while a job is kept or runs alone."""
        if self._started_at is not None and (not active or now - self._started_at > _LONGEST_ALONE_SECONDS):
            self._job = self._started_at = None
            self._pause_until = now + _PAUSE_PER_SECOND_ALONE * (now - self._kept_at)
        return self._job is not None
