"""A token bucket for what may be left out: Kubernetes Events."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial


class RateLimit:
    """`burst` at once, then `per_second`."""

    def __init__(self, *, per_second: float, burst: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._monotonic = monotonic
        self._tokens = burst
        self._at = monotonic()

    def try_take(self) -> bool:
        """Takes a token if one is available now."""
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
    """A limit for all, and one for each namespace: a namespace that uses up its own leaves others theirs."""

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
