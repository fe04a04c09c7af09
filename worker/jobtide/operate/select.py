"""Finds the jobs of a filter, only by ways that an index bounds.

A set that is small by one condition (one id; one tenant; one type's waiting jobs) is looked through at once. Everything
else is a walk through one status from the newest job back, in windows of LOOK rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from jobtide.operate.filters import JobFilter, Status
from jobtide.operate.session import Connection, rows

LOOK = 20_000
"""Rows that one statement of a walk looks at: about 35 ms in memory."""

LOOK_INTO_ERRORS = 5_000
"""The same where the error's text is searched: about 60 ms."""

SMALL = 5_000
"""The largest set that is looked through at once: its rows lie anywhere in the table."""

_WIDER = 4  # a window in which all jobs have one creation time (a bulk insert) is read again, so many times larger
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Selection:
    """A filter, and what a verb asks for besides: see sql/by_time.sql. `until` here is inclusive."""

    which: JobFilter
    statuses: tuple[Status, ...]
    due_after: datetime | None = None
    ended_by: datetime | None = None
    created_by: datetime | None = None
    only_ours: bool = False

    @property
    def until(self) -> datetime | None:
        given = None if self.which.until is None else self.which.until - timedelta(microseconds=1)
        bounds = [one for one in (given, self.created_by) if one is not None]
        return min(bounds, default=None)

    def parameters(self, **more: Any) -> dict[str, Any]:
        which = self.which
        return {
            "type": which.type,
            "tenant": which.tenant,
            "error": which.error,
            "since": which.since,
            "until": self.until,
            "due_after": self.due_after,
            "ended_by": self.ended_by,
            "only_ours": self.only_ours,
            **more,
        }


@dataclass(frozen=True, slots=True)
class Window:
    """The matching jobs of one look. `back_to`: where the walk stands; None after the last window."""

    ids: list[UUID]
    back_to: datetime | None


def small_set(connection: Connection, selection: Selection, *, seconds: float) -> list[UUID] | None:
    """All matching jobs, the newest first; None if no condition bounds their number."""
    which = selection.which
    if which.id is not None:
        asked = selection.parameters(id=which.id, statuses=list(selection.statuses))
        return [row["id"] for row in rows(connection, "by_id", asked, seconds=seconds)]
    if which.tenant is None:
        return None
    return _looked_through(connection, "by_tenant", selection, seconds, statuses=list(selection.statuses))


def walks(
    connection: Connection,
    selection: Selection,
    *,
    wanted: int,
    seconds: float,
    excluded: Collection[UUID] = (),
) -> Iterator[tuple[Status, Window]]:
    """The windows of each status in turn. A window with `wanted` ids ended early.

    The next window begins with the last creation time of this one again, since many jobs may share it: a caller that
    does not change the jobs gets some of them twice. `excluded` is read before each window.
    """
    for status in selection.statuses:
        if status == "pending" and selection.which.type is not None:
            ids = _looked_through(connection, "by_type", selection, seconds)
            if ids is not None:
                yield status, Window(ids, None)
                continue
        one = replace(selection, statuses=(status,))
        for window in _walk(connection, one, wanted=wanted, seconds=seconds, excluded=excluded):
            yield status, window


def _looked_through(
    connection: Connection, name: str, selection: Selection, seconds: float, **more: Any
) -> list[UUID] | None:
    bounds = {"look": SMALL, "wanted": SMALL, "excluded": []}
    (found,) = rows(connection, name, selection.parameters(**bounds, **more), seconds=seconds)
    return found["ids"] if found["looked"] < SMALL else None


def _walk(
    connection: Connection, selection: Selection, *, wanted: int, seconds: float, excluded: Collection[UUID]
) -> Iterator[Window]:
    """Through the one status of the selection."""
    (status,) = selection.statuses
    since = selection.which.since or _FIRST
    until, usual = selection.until or _LAST, LOOK if selection.which.error is None else LOOK_INTO_ERRORS
    look = usual
    while True:
        window = {"status": status, "since": since, "until": until, "look": look, "wanted": wanted}
        found = rows(connection, "by_time", selection.parameters(excluded=list(excluded)) | window, seconds=seconds)
        ids = [row["id"] for row in found if row["matches"]]
        is_full = len(found) == wanted
        if not is_full and (not found or found[-1]["place"] < look):
            yield Window(ids, None)
            return
        last: datetime = found[-1]["created_at"]
        look = look * _WIDER if last == until and not is_full else usual
        until = last
        yield Window(ids, until)
