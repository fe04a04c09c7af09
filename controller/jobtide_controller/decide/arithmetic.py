"""The few operations that every formula of the law shares."""

from __future__ import annotations

import math


def ceil(value: float) -> int:
    """Up to the next whole number; 3.0000001, which is a rounding error, is 3."""
    return math.ceil(value - 1e-6)


def clamp(value: float, low: float, high: float) -> float:
    return max(low, min(value, high))


def clamp_int(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
