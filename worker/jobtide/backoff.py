"""Capped, jittered, exponential waiting for something to come back."""

from __future__ import annotations

import random

_BASE_SECONDS = 0.2
_CAP_SECONDS = 10.0


class Backoff:
    """Counts failures in a row; `not_before` is when to try again (time.monotonic(), seconds)."""

    def __init__(self) -> None:
        self.failures = 0
        self.not_before = 0.0

    def failed(self, now: float) -> None:
        self.failures += 1
        self.not_before = now + self.jitter(min(_CAP_SECONDS, _BASE_SECONDS * 2.0 ** min(self.failures - 1, 10)))

    def succeeded(self) -> None:
        self.failures = 0
        self.not_before = 0.0

    @staticmethod
    def jitter(seconds: float) -> float:
        """Between half and all of it: a fleet that lost its database must not come back in step."""
        return seconds * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret
