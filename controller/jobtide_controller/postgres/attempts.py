"""Follows a few rows from one reading to the next, to see how their attempts end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Watched:
    """Rows that were running or about to start at a reading, each with the number of the attempt that ends next."""

    ids: tuple[str, ...] = ()
    attempts: tuple[int, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Watched:
        """The rows to follow, as the reading's statement chose them."""
        chosen = [row for row in rows if row["watch_ids"]]
        return cls(
            ids=tuple(id_ for row in chosen for id_ in row["watch_ids"]),
            attempts=tuple(attempt for row in chosen for attempt in row["watch_attempts"]),
        )
