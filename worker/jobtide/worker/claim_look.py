"""Looks whether the claims of running jobs still hold: an operator may have cancelled one."""

from __future__ import annotations

from jobtide.queue.job_queue import JobQueue
from jobtide.telemetry.events import Emit, LeaseLost
from jobtide.worker.in_flight import InFlight, InFlightJob

EVERY_SECONDS = 1.5


class ClaimLook:
    """One statement for all claims of the process, only while some have run for a while. For the finisher's thread."""

    def __init__(self, queue: JobQueue, in_flight: InFlight, emit: Emit) -> None:
        self._queue = queue
        self._in_flight = in_flight
        self._emit = emit

    def next_at(self) -> float | None:
        """When the next one is due, by time.monotonic(); None if no job is claimed."""
        return min((claimed.look_at for claimed in self._in_flight.all()), default=None)

    def run_once(self, now: float) -> None:
        """Looks at all claims if one is due. Raises DatabaseUnreachable."""
        claims = self._in_flight.all()
        if not any(claimed.look_at <= now for claimed in claims):
            return
        held = self._queue.held([claimed.job for claimed in claims])
        for claimed in claims:
            claimed.look_at = now + EVERY_SECONDS
            if claimed.job.id not in held:
                lose(claimed, "look", self._in_flight, self._emit)


def lose(claimed: InFlightJob, during: str, in_flight: InFlight, emit: Emit) -> None:
    """Cancels the handler of a job whose claim is lost, unless the job has just ended."""
    if in_flight.take(claimed.job) is not None:
        claimed.context.cancel("lease lost")
        emit(LeaseLost(claimed.job, during))
