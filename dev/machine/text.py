"""Statistics of what a demo or a benchmark measured."""

from __future__ import annotations

import math
from collections.abc import Iterable


def percentile(values: Iterable[float], percent: float) -> float | None:
    """Returns the nearest rank: of 1 to 200, the 99th percentile is 198. None if there are no values."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(percent / 100 * len(ranked)) - 1)] if ranked else None
