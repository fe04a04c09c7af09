"""How many rows wait beyond those that a reading counts: by a sample of the table, every few seconds."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import replace

import psycopg

from jobtide.sql import load
from jobtide_controller.decide.reading import OTHERS, Reading
from jobtide_controller.postgres.session import Session

PAGES = 500  # 4 MB; with 20 rows to a page 10,000 rows, as many as are counted of one key
LEAST_ROWS = 100
EVERY_SECONDS = 10.0
SHARE = 1 / 160  # of a core at most

_SQL_PACKAGE = "jobtide_controller.postgres.sql"


class Beyond:
    """Remembers when the next sample may be taken."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._from = -math.inf

    def added(self, reading: Reading, session: Session, timeout_seconds: float) -> Reading:
        """The reading, with `about` where a sample was taken. An error of this statement holds nothing up."""
        keys = [key for key, depth in reading.depths.items() if depth.capped and depth.due and key.tenant_id != OTHERS]
        started = self._monotonic()
        if not keys or started < self._from:
            return reading
        self._from = started + EVERY_SECONDS
        rows = []
        with contextlib.suppress(psycopg.Error):
            rows = session.run(
                load(_SQL_PACKAGE, "beyond"),
                {
                    "types": [key.type for key in keys],
                    "tenant_ids": [key.tenant_id for key in keys],
                    "pages": PAGES,
                    "least_rows": LEAST_ROWS,
                },
                timeout_seconds=timeout_seconds,
            )
        self._from = max(self._from, started + (self._monotonic() - started) / SHARE)
        found = {(row["type"], row["tenant_id"]): row["due"] for row in rows}
        depths = {key: replace(depth, about=found.get(key, 0)) for key, depth in reading.depths.items()}
        return replace(reading, depths=depths)
