"""Suspects: jobs that a crash of their worker's process took along. Each runs apart until it is known to be harmless.

After the first crash a job runs in a process of its own (the runner does that); after the second one in a row it runs
alone in the worker. See docs/adr/2026-11-28-suspects-run-apart.md.
"""

from __future__ import annotations

from collections.abc import Callable

from jobtide.backoff import jittered
from jobtide.job import End, Job, suspicion_of
from jobtide.telemetry.events import Emit, RunsApart
from jobtide.worker.in_flight import InFlight

_ALONE = 2
_BACK_SECONDS = 10.0  # before a suspect that can't run alone here yet is due again
# A worker runs jobs alone for a quarter of its time at most: forged marks must not stop the other tenants.
_PAUSE_PER_SECOND_ALONE = 3.0
_LONGEST_ALONE_SECONDS = 600.0  # then others run beside it: a handler that never returns must not stop them


class Alone:
    """The one job that this worker runs alone, or keeps claimed until the others have ended. For one thread."""

    def __init__(self, in_flight: InFlight, write: Callable[[End], None], emit: Emit) -> None:
        self._in_flight = in_flight
        self._write = write
        self._emit = emit
        self._job: Job | None = None
        self._started_at: float | None = None
        self._kept_at = 0.0
        self._pause_until = 0.0

    def keep(self, job: Job, now: float) -> bool:
        """True if the job must run alone: it is kept until `next_to_start`, or requeued if another one is kept."""
        if suspicion_of(job) < _ALONE:
            return False
        if self._job is None and now >= self._pause_until:
            self._job, self._started_at, self._kept_at = job, None, now
            self._in_flight.add(job, now, None)  # so that its lease is extended, and a drain requeues it
        else:
            self._write(End(job, "pending", None, jittered(_BACK_SECONDS), gives_back=True, reason="returned"))
        return True

    def next_to_start(self, active: int, now: float) -> Job | None:
        """The kept job, once: when no other job is active."""
        if self._job is None or self._started_at is not None or active:
            return None
        self._started_at = now
        if self._in_flight.take(self._job) is None:  # its lease was lost while it waited
            return None
        self._emit(RunsApart(self._job, "alone"))
        return self._job

    def blocks_claims(self, active: int, now: float) -> bool:
        """True while a job is kept or runs alone."""
        if self._started_at is not None and (not active or now - self._started_at > _LONGEST_ALONE_SECONDS):
            self._job = self._started_at = None
            self._pause_until = now + _PAUSE_PER_SECOND_ALONE * (now - self._kept_at)
        return self._job is not None
