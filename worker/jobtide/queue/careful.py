"""Claims row by row after the server refused a claim: the row at fault is found, and the others are claimed.

A trigger, a constraint or an index can refuse the claim of one row, and the error does not say which. So each row of
the batch is claimed behind a savepoint of its own. A refused row is left out of this worker's next claims.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from jobtide.queue.refusals import RowRefused
from jobtide.queue.ring import Key, Lap, Range
from jobtide.queue.session import Execute, Session
from jobtide.sql import load

_EXCLUDED_SECONDS = 300.0
_MOST_ROWS = 200  # excluded at once; beyond them the oldest is tried again
_MOST_ROWS_OF_KEY = 10  # then the whole key is left out
_ERROR_CHARS = 4_000
_CLAIM_BEGINS: LiteralString = ",\nclaimed AS ("  # in claim.sql and claim_capped.sql, after the CTE `candidate`
_ONE: LiteralString = """WITH candidate AS MATERIALIZED (
    SELECT q.id, coalesce(q.next_retry_at, q.created_at, '-infinity'::timestamptz) AS due_at, 1 AS position, 0 AS turn
    FROM job_queue AS q
    WHERE q.id = %(candidate)s AND q.status = 'pending'
)"""


@dataclass(frozen=True, slots=True)
class RefusedClaim:
    """A row that the server does not let this worker claim. It has ended as failed if `failed`, else it is left."""

    id: UUID
    type: str
    tenant_id: UUID
    message: str
    failed: bool


class _Excluded(NamedTuple):
    key: Key
    until: float


class Exclusions:
    """The rows that this worker leaves out of its claims for 5 minutes. Times are time.monotonic(), in seconds."""

    def __init__(self) -> None:
        self._rows: dict[UUID, _Excluded] = {}  # the oldest first
        self._known: dict[UUID, None] = {}  # reported already

    def add(self, id_: UUID, key: Key, now: float) -> bool:
        """Leaves the row out. True if it was not refused before."""
        self._rows.pop(id_, None)
        self._rows[id_] = _Excluded(key, now + _EXCLUDED_SECONDS)
        while len(self._rows) > _MOST_ROWS:
            del self._rows[next(iter(self._rows))]
        is_new = id_ not in self._known
        self._known[id_] = None
        while len(self._known) > 10 * _MOST_ROWS:
            del self._known[next(iter(self._known))]
        return is_new

    def ids(self, now: float) -> list[UUID]:
        if self._rows:
            self._rows = {id_: row for id_, row in self._rows.items() if row.until > now}
        return list(self._rows)

    def without_full_keys(self, lap: Lap) -> Lap:
        """The lap without the keys of which many rows are refused: a suspended tenant has a million of them."""
        if len(self._rows) < _MOST_ROWS_OF_KEY:
            return lap
        rows = Counter(row.key for row in self._rows.values())
        for key in [key for key, count in rows.items() if count >= _MOST_ROWS_OF_KEY]:
            lap = tuple(part for range_ in lap for part in _without(range_, key))
        return lap


def _without(range_: Range, key: Key) -> list[Range]:
    type_, tenant = key
    if range_.type != type_ or not range_.first <= tenant <= range_.last:
        return [range_]
    before = [range_._replace(last=tenant - 1)] if range_.first < tenant else []
    return before + ([Range(type_, tenant + 1, range_.last)] if tenant < range_.last else [])


def claim_each(
    session: Session,
    execute: Execute,
    statement: LiteralString,
    parameters: dict[str, Any],
) -> tuple[list[dict[str, Any]], list[tuple[UUID, RowRefused]]]:
    """Claims the rows that `statement` would claim, each behind a savepoint of the open transaction.

    Returns the claimed rows in their order, and the refused ones. Raises RowRefused if not even the search works.
    """
    search, _, rest = statement.partition(_CLAIM_BEGINS)
    candidates = execute(search + "\nSELECT candidate.id FROM candidate ORDER BY candidate.position", parameters)
    one = _ONE + _CLAIM_BEGINS + rest
    claimed: list[dict[str, Any]] = []
    refused: list[tuple[UUID, RowRefused]] = []
    for candidate in candidates:
        try:
            with session.savepoint():
                claimed += execute(one, parameters | {"candidate": candidate["id"]})
        except RowRefused as refusal:
            refused.append((candidate["id"], refusal))
    return claimed, refused


def about(execute: Execute, id_: UUID) -> tuple[str, UUID]:
    """Type and tenant of a row that the transaction has locked."""
    (row,) = execute("SELECT q.type, q.tenant_id FROM job_queue AS q WHERE q.id = %(id)s", {"id": id_})
    return row["type"], row["tenant_id"]


def fail(session: Session, execute: Execute, id_: UUID, refusal: RowRefused) -> bool:
    """Ends the row as failed with the server's words. False if that is refused too."""
    parameters = {"id": id_, "message": f"the server refused its claim: {refusal}"[:_ERROR_CHARS]}
    try:
        with session.savepoint():
            return bool(execute(load("jobtide.sql", "fail_pending"), parameters))
    except RowRefused:
        return False
