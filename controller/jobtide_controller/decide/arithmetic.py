"""Rounding and bounds that the formulas of the scaling law share."""

from __future__ import annotations

import math


def ceil(value: float) -> int:
    """Rounds up to a whole number, except for rounding errors: 3.0000001 becomes 3."""
    return math.ceil(value - 1e-6)


def usable(seconds: float) -> float:
    """An age that can be computed with: 0 for one that is not a number, is infinite or negative."""
    return seconds if 0.0 <= seconds < math.inf else 0.0


def clamp(value: float, low: float, high: float) -> float:
    """`value` within `low` and `high`; `low` wins if it is the greater of the two."""
    return max(low, min(value, high))


def clamp_int(value: int, low: int, high: int) -> int:
    """As `clamp`, for whole numbers."""
    return max(low, min(value, high))
