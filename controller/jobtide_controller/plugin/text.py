"""What both commands share: numbers, times and columns as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jobtide_controller.api.v1alpha1 import JobWorkerPoolStatus
from jobtide_controller.render import display


def ago(moment: datetime, now: float) -> str:
    return f"{display.age(max(0.0, now - moment.timestamp()))} ago"


def clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%SZ}"


def is_known(status: JobWorkerPoolStatus) -> bool:
    """Whether the totals are those of the last reading; without them, the details are older ones."""
    return status.pending is not None


def oldest(seconds: int, pending: int) -> str:
    return display.age(seconds) if pending and seconds else display.NONE


def columns(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """So many columns to the left, the rest to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
