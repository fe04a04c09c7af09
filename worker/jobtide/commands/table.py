"""Text tables for commands that print to a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from jobtide.printable import printable


def aligned(rows: Sequence[Sequence[str]], alignment: str = "<") -> list[str]:
    """One line for each row, two spaces between columns, no trailing spaces. All rows have the same number of cells.
    What is not printable in a cell is escaped.

    `alignment` has `<` (left) or `>` (right) for each column; the columns after its end are aligned right.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = alignment.ljust(len(widths), ">")
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in rows
    ]
