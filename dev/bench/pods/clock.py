"""One time line for what happens in the database, in the cluster and here."""

from __future__ import annotations

import time
from typing import Any

import psycopg

_ASKS = 9


def database_offset_seconds(connection: psycopg.Connection[Any]) -> float:
    """What must be added to the database's time to get ours: from the quickest of some answers."""
    return min(_ask(connection) for _ in range(_ASKS))[1]


def _ask(connection: psycopg.Connection[Any]) -> tuple[float, float]:
    """How long the answer took, and the offset if it was given halfway."""
    asked_at = time.time()
    ((there,),) = connection.execute("SELECT extract(EPOCH FROM clock_timestamp())::float8").fetchall()
    answered_at = time.time()
    return answered_at - asked_at, (asked_at + answered_at) / 2 - there
