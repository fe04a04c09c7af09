"""Notices a worker that can't do anything more: a handler that never returns holds each of its places."""

from __future__ import annotations

from jobtide.worker.in_flight import InFlight, InFlightJob

# How long past its timeout a handler may take to stop: as long as the timeout, within these bounds.
_LEAST_SECONDS = 5.0
_MOST_SECONDS = 60.0


def all_stuck(in_flight: InFlight, at_least: int, now: float) -> bool:
    """True if `at_least` handlers run, and all that run were cancelled at their timeout but do not stop."""
    running = [claimed for claimed in in_flight.all() if claimed.started]
    return len(running) >= at_least and all(_is_stuck(claimed, now) for claimed in running)


def _is_stuck(claimed: InFlightJob, now: float) -> bool:
    deadline, timeout_seconds = claimed.context.deadline, claimed.timeout_seconds
    if deadline is None or timeout_seconds is None or claimed.context.cancelled_by != "timeout":
        return False
    return now - deadline > min(max(timeout_seconds, _LEAST_SECONDS), _MOST_SECONDS)
