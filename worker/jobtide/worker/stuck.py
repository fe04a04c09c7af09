"""Notices a worker that can't do anything more: a handler that never returns holds each of its places."""

from __future__ import annotations

from jobtide.worker.in_flight import InFlight

# How long past its timeout a handler may take to stop: as long as the timeout, within these bounds.
_LEAST_SECONDS = 5.0
_MOST_SECONDS = 60.0


def all_stuck(in_flight: InFlight, places: int, now: float) -> bool:
    """True if `places` handlers run that were cancelled at their timeout, but do not stop."""
    stuck = sum(
        claimed.started
        and claimed.context.deadline is not None
        and claimed.context.cancelled_by == "timeout"
        and now - claimed.context.deadline > min(max(claimed.timeout_seconds or 0, _LEAST_SECONDS), _MOST_SECONDS)
        for claimed in in_flight.all()
    )
    return stuck >= places
