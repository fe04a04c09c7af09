"""Which types the next claim takes first: those that are nearest to breaking their promise.

Types with the same promise are one group, and share a ring of tenants. Only values are here: queue/promised.py claims.
docs/adr/2026-11-29-a-promise-per-type.md compares the alternatives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

DEFAULT_PROMISE_SECONDS = 60.0  # of a type that JOBTIDE_PROMISES does not name; the pool's default too

# The controller asks for workers that start each job within 0.8 of its promise. A group beyond 0.9 shows that they are
# too few: all such groups take turns, so that the backlog of one does not break the promise of another.
PRESSING = 0.9

# A group far from its promise moves too: it comes first once it was passed over in 16 claims of this worker, over a
# tenth of its promise. With claims alone, short jobs would let long ones take all places; with time alone, the long
# ones of a worker with few claims would take every second one.
PASSED_CLAIMS = 16
PASSED_SHARE = 0.1


class Group:
    """Types with one promise, as one worker sees them. Times are time.monotonic(), or the simulated clock."""

    __slots__ = ("oldest_at", "passed", "passed_since", "promise_seconds", "types")

    def __init__(self, promise_seconds: float, types: tuple[str, ...]) -> None:
        self.promise_seconds = promise_seconds
        self.types = types
        self.oldest_at = math.inf  # when its oldest known job fell due; inf: none is known
        self.passed = 0  # claims since the last one that tried it
        self.passed_since = math.inf

    @property
    def pressing_at(self) -> float:
        """When its oldest known job comes close to the promise. Due at 100 s, promise 30 s: at 127 s."""
        return self.oldest_at + PRESSING * self.promise_seconds

    def is_passed_over(self, now: float) -> bool:
        """Whether others were claimed for too long."""
        return self.passed >= PASSED_CLAIMS and now - self.passed_since >= PASSED_SHARE * self.promise_seconds


AnyGroup = TypeVar("AnyGroup", bound=Group)


def grouped(types: Sequence[str], promises: Mapping[str, float]) -> dict[float, tuple[str, ...]]:
    """The types of each promise, the shortest promise first."""
    seconds = {type_: promises.get(type_, DEFAULT_PROMISE_SECONDS) for type_ in types}
    return {one: tuple(name for name in types if seconds[name] == one) for one in sorted(set(seconds.values()))}


def in_order(groups: Sequence[AnyGroup], now: float) -> list[AnyGroup]:
    """The groups in the order in which the next claim tries them.

    One that was passed over for too long; then the earliest deadline first. Groups that are beyond theirs take turns;
    groups without a known job come last, the shortest promise first.
    """
    return sorted(groups, key=lambda group: _rank(group, now))


def note(order: Sequence[Group], tried: int, now: float) -> None:
    """A claim has tried the first `tried` groups of its order, and found enough."""
    for place, group in enumerate(order):
        if place < tried:
            group.passed, group.passed_since = 0, math.inf
        else:
            group.passed_since = now if group.passed == 0 else group.passed_since
            group.passed += 1


def _rank(group: Group, now: float) -> tuple[bool, float, int, float]:
    is_passed_over, pressing_at = group.is_passed_over(now), group.pressing_at
    takes_turns = is_passed_over or pressing_at <= now
    return (
        not is_passed_over,
        now if takes_turns else pressing_at,
        -group.passed if takes_turns else 0,
        group.promise_seconds,
    )
