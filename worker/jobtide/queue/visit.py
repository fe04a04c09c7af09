"""Where a tenant with several turns has come, if a claim ended in the middle of them.

A worker with one free place claims one job at a time: without this a tenant of weight 3 would give one job a lap, like
all others. So the next claim begins at the same key, for what is left of its turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from jobtide.queue.ring import Key


class Visit(NamedTuple):
    """The key at which the next claim begins, and the turns that it has had."""

    key: Key
    rows: int

    @property
    def parameters(self) -> dict[str, Any]:
        """As sql/claim_capped.sql takes them."""
        type_, tenant = self.key
        return {"visit_type": type_, "visit_tenant": UUID(int=tenant), "visit_rows": self.rows}


NO_VISIT: dict[str, Any] = {"visit_type": None, "visit_tenant": None, "visit_rows": 0}


def visit_after(last: Key, served: int, weights: Mapping[Key, int], before: Visit | None) -> Visit | None:
    """After a claim that was filled and served `last` at its end, `served` rows of it; None: all its turns are over.

    Weight 3, one job a claim: 1, then 2, then the third ends the visit. Weight 1: never a visit.
    """
    rows = served + (before.rows if before is not None and before.key == last else 0)
    left_over = rows % weights.get(last, 1)
    return Visit(last, left_over) if left_over else None
