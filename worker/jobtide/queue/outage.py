"""Outages of the database, from the first failure to the next success: when to retry, and what to report."""

from __future__ import annotations

import re

from jobtide.backoff import backoff_seconds
from jobtide.database_errors import one_line
from jobtide.telemetry.events import DatabaseBack, DatabaseLost, DatabaseStillLost, Emit

_BASE_SECONDS = 0.2
_CAP_SECONDS = 10.0
_DETAILS = re.compile(r'"[^"]*"|\d+')


class Outage:
    """The outages of one connection; `doing` names its use in logs and metrics. Times are time.monotonic(), in seconds.

    Emits DatabaseLost at the first failure, DatabaseStillLost at a later one with another cause, and DatabaseBack at
    the first success after a failure. Two causes are the same if their messages are, without numbers and quoted parts:
    ports, process IDs and addresses differ from try to try. A failed connect has no SQLSTATE to compare.
    """

    def __init__(self, doing: str, emit: Emit) -> None:
        self._doing = doing
        self._emit = emit
        self._failures = 0
        self._cause = ""
        self._try_at = 0.0

    def __bool__(self) -> bool:
        """True while the last try has failed."""
        return self._failures > 0

    def failed(self, error: BaseException, now: float) -> float:
        """Notes a failed try. Returns the seconds until the next: 0.2, 0.4, 0.8, ... 10 s, each jittered."""
        message = one_line(error)
        cause = _DETAILS.sub("", message)
        state = getattr(error, "state", "unreachable")
        if not self:
            self._emit(DatabaseLost(self._doing, message, state))
        elif cause != self._cause:
            self._emit(DatabaseStillLost(self._doing, message, state))
        self._cause = cause
        self._failures += 1
        wait_seconds = backoff_seconds(self._failures, base_seconds=_BASE_SECONDS, max_seconds=_CAP_SECONDS)
        self._try_at = now + wait_seconds
        return wait_seconds

    def wait_seconds(self, now: float) -> float:
        """Until the next try; 0 if it is due."""
        return max(0.0, self._try_at - now)

    def succeeded(self) -> None:
        if self:
            self.abandon()
            self._emit(DatabaseBack(self._doing))

    def abandon(self) -> None:
        """Forgets the outage without an event: there is nothing left to try for."""
        self._failures = 0
        self._try_at = 0.0
