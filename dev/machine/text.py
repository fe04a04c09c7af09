"""New."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def table(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as they must be, the first to the left and numbers to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def percentile(values: Iterable[float], percent: float) -> float | None:
    """The nearest rank: of 1 to 200, the 99th percentile is 198. None of nothing."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(percent / 100 * len(ranked)) - 1)] if ranked else None
