"""Text tables for commands that print to a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], alignment: str = "<") -> list[str]:
    """One line for each row, two spaces between columns, no trailing spaces. All rows have the same number of cells.

    `alignment` has `<` (left) or `>` (right) for each column; the columns after its end are aligned right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = alignment.ljust(len(widths), ">")
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in rows
    ]
