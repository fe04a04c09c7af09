"""How many writes may be in flight at once: as many as the API server answers promptly.

No rate is set anywhere. A write begins when another has ended, so a slow server gets fewer of them by itself, and the
window decides how many wait in its line. It follows TCP's congestion control: prompt answers widen it by one a round;
a late one, or a refusal because of load, halves it, once for all writes that were sent before (RFC 5681).

The API server's own fairness (APF) puts all requests of one client into few queues. The lease goes through the same
ones, so what counts as late is a part of the time that its renewal has (lease.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from http import HTTPStatus

from jobtide_controller.kube.api.client import ApiError

LEAST = 8  # an API server that is far away, or behind slow webhooks, is late without being busy
MOST = 32  # APF's queues hold 50 by default: our own writes alone never fill one
LATE_SECONDS = 0.5  # a renewal of the lease has 1.5 s
LONGEST_PAUSE_SECONDS = 30.0

_OVERLOAD = {0, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


class Window:
    """The writer notes each answer, the queue asks whether one more may begin."""

    def __init__(
        self, *, least: int = LEAST, most: int = MOST, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._least = least
        self._most = most
        self._monotonic = monotonic
        self._size = float(least)
        self._narrowed_at = -math.inf
        self._closed_until = -math.inf

    @property
    def size(self) -> int:
        """The number of writes that may be in flight."""
        return int(self._size)

    @property
    def opens_in_seconds(self) -> float:
        """After how many seconds the API server wants the next write; 0: now."""
        return max(0.0, self._closed_until - self._monotonic())

    def has_room(self, in_flight: int) -> bool:
        return in_flight < self.size

    def note(self, sent_at: float, error: ApiError | None = None) -> None:
        """Notes the answer to a write that was sent at that time; an error of code 0: there was no answer."""
        now = self._monotonic()
        if (error is None or error.code not in _OVERLOAD) and now - sent_at <= LATE_SECONDS:
            self._size = min(self._most, self._size + 1 / self._size)
            return
        if sent_at > self._narrowed_at:  # else it was in the line that narrowed the window
            self._size = max(self._least, self._size / 2)
            self._narrowed_at = now
        if error is not None and error.retry_after_seconds:
            pause = min(LONGEST_PAUSE_SECONDS, error.retry_after_seconds)
            self._closed_until = max(self._closed_until, now + pause)
