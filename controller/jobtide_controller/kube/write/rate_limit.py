"""A token bucket that limits writes, so that ten thousand pools don't reach the API server at the same moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class RateLimit:
    """`burst` writes at once, then `per_second`."""

    def __init__(
        self, *, per_second: float = 50.0, burst: float = 50.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._monotonic = monotonic
        self._tokens = burst
        self._at = monotonic()

    async def wait(self) -> None:
        """Returns when the caller may write; first come, first served."""
        seconds = self.reserve()
        if seconds > 0:
            await asyncio.sleep(seconds)

    def reserve(self) -> float:
        """Takes a token; the seconds until it is available."""
        self._refill()
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)

    def try_take(self) -> bool:
        """Takes a token if one is available now; for writes that may be left out."""
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _refill(self) -> None:
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
