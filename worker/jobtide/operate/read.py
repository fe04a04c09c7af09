"""Finds and shows jobs: `list` and `show`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from jobtide.operate.filters import JobFilter
from jobtide.operate.session import SECONDS, Connection

Moment = str
"""ISO 8601 in UTC, as in 2026-11-29T01:10:15.250000Z; infinity and -infinity as the table has them."""


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job in a list. Texts are cut: type and holder to 200 characters, the error's message to 300."""

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
    """Of this status, only jobs created at `back_to` or later were looked at. Older ones: --until with that time."""

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
    result_bytes: int  # in the table, uncompressed; more than 1 MiB is not shown
    payload: str | None  # None: NULL, or not shown
    payload_bytes: int

    def to_json(self) -> dict[str, Any]:
        """The fields of the line and of this, in one object."""
        raise NotImplementedError


def list_jobs(connection: Connection, which: JobFilter, *, limit: int = 50, seconds: float = SECONDS) -> Listing:
    """The newest `limit` (1 to 1,000) jobs. Raises FilterRefused, TooSlow, psycopg.Error."""
    raise NotImplementedError


def show_job(
    connection: Connection, id_: UUID, *, with_payload: bool = False, seconds: float = SECONDS
) -> JobDetail | None:
    """The job, or None if there is none. Without `with_payload` the payload is not read. Raises as list_jobs."""
    raise NotImplementedError
