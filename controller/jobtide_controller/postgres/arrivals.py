"""Counts each new row once, although a transaction that commits late adds rows with an earlier created_at.

A row's created_at is the start of its transaction, so a window that ends at one reading may grow afterwards. Each
reading therefore counts three times per key: rows created since the previous reading (new), rows of the previous
reading's overlap that are visible now (again), and rows that the next reading will compare with (overlap).

    reading 1 at 100 s: overlap 99..100 shows 4
    reading 2 at 101 s: new 100..101 shows 3, again 99..100 shows 6: 2 committed late, so 5 arrived
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jobtide_controller.decide.reading import Key

OVERLAP_SECONDS = 1.0

# The scaling law looks back ten minutes; after a longer outage counting restarts.
WINDOW_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One key's counts in one reading."""

    new: int = 0
    again: int = 0
    overlap: int = 0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What the previous reading counted; the next one replaces it."""

    taken_at: float | None = None
    overlap: Mapping[Key, int] = field(default_factory=dict)

    def previous_at(self, elapsed_seconds: float) -> float | None:
        """Start of the next window in epoch seconds; None if there is nothing to compare with."""
        return self.taken_at if elapsed_seconds <= WINDOW_SECONDS else None

    def count(self, key: Key, seen: Seen) -> int:
        """Rows of this key that arrived since the previous reading."""
        return seen.new + max(0, seen.again - self.overlap.get(key, 0))
