"""Finds and shows jobs: `list` and `show`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from jobtide.operate.filters import JobFilter
from jobtide.operate.select import LOOK, Selection, small_set, walks
from jobtide.operate.session import SECONDS, Connection, rows

Moment = str
"""ISO 8601 in UTC, as in 2026-11-29T01:10:15.250000Z; infinity and -infinity as the table has them."""


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job in a list. Texts are cut: the type to 201 characters, the holder to 200, the error's message to 300."""

    id: str
    tenant_id: str
    type: str
    status: str
    attempts: int
    created_at: Moment | None
    due_at: Moment | None  # pending: from when it may run; processing: until when its lease lasts; else None
    completed_at: Moment | None
    worker_id: str | None  # the claim that holds the job, or held it last
    error_type: str | None
    error_message: str | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Cut:
    """Of this status, only jobs created after `back_to` were all looked at. Older ones: --until with that time.

    Of those created at `back_to` itself some may be left out, as of a bulk insert: a tenant or an id finds them.
    """

    status: str
    back_to: Moment


@dataclass(frozen=True, slots=True)
class Listing:
    """The newest jobs that match, newest first. `has_more`: the limit left some out."""

    jobs: tuple[JobLine, ...]
    has_more: bool
    cuts: tuple[Cut, ...]  # empty: every job in question was looked at

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class JobDetail:
    """One job. `result` and `payload` are JSON texts as PostgreSQL writes them: numbers stay exact."""

    line: JobLine
    result: str | None  # None: NULL, or not shown
    result_bytes: int  # in the table, uncompressed; more than 1 MiB, or than 99 levels, is not shown
    payload: str | None  # None: NULL, or not shown
    payload_bytes: int

    def to_json(self) -> dict[str, Any]:
        """The fields of the line and of this, in one object."""
        mine = asdict(self)
        line: dict[str, Any] = mine.pop("line")
        return line | mine


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed jobs that were created within the last hour, by tenant and type."""

    counts: Mapping[tuple[str, str], int]
    capped: bool  # counting stopped: the counts are lower bounds

    def by_tenant(self, allows: Callable[[str], bool]) -> Mapping[str, int]:
        """Those of the types that are allowed. A tenant without one is not in it."""
        found: Counter[str] = Counter()
        for (tenant_id, type_), jobs in self.counts.items():
            if allows(type_):
                found[tenant_id] += jobs
        return found


def list_jobs(connection: Connection, which: JobFilter, *, limit: int = 50, seconds: float = SECONDS) -> Listing:
    """The newest `limit` (1 to 1,000) jobs. Raises FilterRefused, TooSlow, psycopg.Error."""
    which.check()
    selection = Selection(which, which.statuses())
    ids = small_set(connection, selection, seconds=seconds)
    cuts: list[Cut] = []
    if ids is None:
        ids = []
        for status in selection.statuses:
            one = replace(selection, statuses=(status,))
            _, window = next(walks(connection, one, wanted=limit + 1, seconds=seconds))
            ids += window.ids
            if window.back_to is not None and len(window.ids) <= limit:
                cuts.append(Cut(status, moment(window.back_to.timestamp()) or ""))
    jobs = lines(connection, ids, seconds=seconds)
    return Listing(tuple(jobs[:limit]), len(jobs) > limit, tuple(cuts))


def show_job(
    connection: Connection, id_: UUID, *, with_payload: bool = False, seconds: float = SECONDS
) -> JobDetail | None:
    """The job, or None if there is none. Without `with_payload` the payload is not read. Raises as list_jobs."""
    found = lines(connection, [id_], seconds=seconds)
    contents = rows(connection, "contents", {"id": id_, "with_payload": with_payload}, seconds=seconds)
    return JobDetail(found[0], **contents[0]) if found and contents else None


def recent_failures(connection: Connection, *, look: int = LOOK, seconds: float = SECONDS) -> Failures:
    """Looks at the newest `look` failed jobs. Raises TooSlow, psycopg.Error."""
    found = rows(connection, "failures", {"look": look}, seconds=seconds)
    counts = {(str(row["tenant_id"]), row["type"]): row["jobs"] for row in found}
    return Failures(counts, capped=sum(counts.values()) >= look)


def lines(connection: Connection, ids: Sequence[UUID], *, seconds: float = SECONDS) -> list[JobLine]:
    """The jobs with these ids that exist, the newest first."""
    found = rows(connection, "lines", {"ids": list(ids)}, seconds=seconds) if ids else []
    return [
        JobLine(
            **row
            | {name: str(row[name]) for name in ("id", "tenant_id")}
            | {name: moment(row[name]) for name in ("created_at", "due_at", "completed_at")}
        )
        for row in found
    ]


def moment(epoch: float | None) -> Moment | None:
    """Seconds since 1970 as a text. Times that datetime can't hold become infinity or -infinity."""
    if epoch is None:
        return None
    try:
        return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError):
        return "infinity" if epoch > 0 else "-infinity"
