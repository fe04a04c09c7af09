"""A token bucket that limits writes, so that ten thousand pools don't reach the API server at the same moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial


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

    @property
    def is_full(self) -> bool:
        """Whether it is as it was at its start."""
        self._refill()
        return self._tokens >= self._burst

    def _refill(self) -> None:
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now


class FairRateLimit:
    """A limit for all writes, and one for each namespace: a namespace that uses up its own leaves others theirs."""

    def __init__(
        self,
        *,
        per_second: float,
        burst: float,
        namespaces: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`per_second`, `burst`: of one namespace; of all together `namespaces` times as much."""
        self._new = partial(RateLimit, per_second=per_second, burst=burst, monotonic=monotonic)
        self._all = RateLimit(per_second=namespaces * per_second, burst=namespaces * burst, monotonic=monotonic)
        self._limits: dict[str, RateLimit] = {}

    def try_take(self, namespace: str) -> bool:
        """Takes a token of both if they are available now."""
        if (limit := self._limits.get(namespace)) is None:
            self._limits = {name: known for name, known in self._limits.items() if not known.is_full}
            limit = self._limits[namespace] = self._new()
        return limit.try_take() and self._all.try_take()
