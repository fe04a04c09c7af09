"""How fast we may write: a bucket of tokens, so that ten thousand pools don't arrive at the API server at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Pace:
    """`burst` at once, then `per_second`."""

    def __init__(
        self, *, per_second: float = 50.0, burst: float = 50.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._monotonic = monotonic
        self._tokens = burst
        self._at = monotonic()

    async def wait(self) -> None:
        """Until it is our turn; turns are given in the order of the calls."""
        seconds = self.reserve()
        if seconds > 0:
            await asyncio.sleep(seconds)

    def reserve(self) -> float:
        """Take a token; the seconds until it is there."""
        self._refill()
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)

    def try_take(self) -> bool:
        """A token if there is one now, for what may be left out."""
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _refill(self) -> None:
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
