"""How long to wait before the next try: exponential, capped, jittered. The one backoff of worker and controller."""

from __future__ import annotations

import random

_MAX_DOUBLINGS = 60  # 2^60 exceeds every cap; without the bound a huge count of failures would overflow the float


def backoff_seconds(failures: int, *, base_seconds: float, max_seconds: float) -> float:
    """The wait after `failures` failed tries in a row: base, 2 base, 4 base, ..., at most max_seconds; half is random.

    Base 0.2, max 10: 0.1 to 0.2 s after the first failure, 5 to 10 s after the seventh.
    """
    return jittered(full_backoff_seconds(failures, base_seconds=base_seconds, max_seconds=max_seconds))


def full_backoff_seconds(failures: int, *, base_seconds: float, max_seconds: float) -> float:
    """The same before the jitter."""
    return min(max_seconds, base_seconds * 2.0 ** min(max(0, failures - 1), _MAX_DOUBLINGS))


def jittered(seconds: float) -> float:
    """Between half of it and all of it: a fleet that lost its database must not reconnect in step."""
    return seconds * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret
