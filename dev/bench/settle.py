"""How often a measurement repeats: until its spread says something, or the limit of its time or number is reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

AT_LEAST = 3
AT_MOST = 9
WITHIN_SECONDS = 90.0
SPREAD = 0.1  # the middle half of the values, as a part of their median


def until_settled(
    *values: Sequence[float],
    at_most: int = AT_MOST,
    within_seconds: float = WITHIN_SECONDS,
    now: Callable[[], float] = monotonic,
) -> Iterator[int]:
    """Yields the numbers of the rounds; the body of the loop adds one value to each list.

    A list that got no value in a round, as of a queue that failed, is not waited for any more.
    Ends when all lists are settled, after `at_most` rounds, or when a further round would end after the time.
    """
    started = now()
    for done in range(at_most):
        elapsed = now() - started
        settled = all(is_settled(one) for one in values if len(one) == done)
        if done >= AT_LEAST and (settled or elapsed * (done + 1) / done > within_seconds):
            return
        yield done


def is_settled(values: Sequence[float]) -> bool:
    """True if there are enough values, and the middle half of them lies within a tenth of their median."""
    if len(values) < AT_LEAST:
        return False
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low <= SPREAD * abs(middle)
