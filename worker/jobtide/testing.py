"""For tests of applications: run a handler inline, drain a database, assert which jobs were enqueued."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID, uuid4

from psycopg import Cursor
from psycopg.rows import dict_row
from psycopg.types.json import JsonbBinaryLoader

from jobtide.context import Context
from jobtide.job import End, EndStatus, Job, Json
from jobtide.payload import json_text, json_value
from jobtide.producer.drivers import Statement, Task, psycopg_connection
from jobtide.producer.drivers import run as run_task
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.moments import MomentLoader
from jobtide.queue.ring import Ring
from jobtide.queue.session import Execute, Session
from jobtide.sql import load
from jobtide.tide import Handler, Tide
from jobtide.worker import outcome
from jobtide.worker.outcome import RetryPolicy

_MAX_RESULT_BYTES = 1_048_576  # a worker's default
_LEASE_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How one run of a job ended in `drain`: `pending` is a retry or a snooze."""

    job: Job
    status: EndStatus
    result: Json  # of the row now: what the handler returned, or {"error": {...}}


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A pending job."""

    id: UUID
    type: str
    tenant_id: UUID
    payload: Json
    not_before: datetime | None


def run(tide: Tide, type_: str, payload: Any = None, *, tenant_id: UUID | str | None = None, attempt: int = 1) -> Json:
    """Runs the type's handler at once, without a database, and returns the result as it would be stored.

    Raises what the handler raises, Fail for a payload that doesn't fit its annotation, and ValueError for a result
    that can't be stored. The payload is converted to JSON and back, as the table does.
    """
    handler, job = _handler(tide, type_), _job(type_, payload, tenant_id, attempt)
    value = handler.function(*handler.arguments(job.payload, Context(job)))
    return _stored(_finished(value) if handler.is_async else value)


async def run_async(
    tide: Tide, type_: str, payload: Any = None, *, tenant_id: UUID | str | None = None, attempt: int = 1
) -> Json:
    """`run` inside a coroutine: an async handler runs on the loop of the test."""
    handler, job = _handler(tide, type_), _job(type_, payload, tenant_id, attempt)
    value = handler.function(*handler.arguments(job.payload, Context(job)))
    return _stored(await value if handler.is_async else value)


def drain(database: Any, tide: Tide, *, at_most: int = 1_000) -> list[Ended]:
    """Claims and runs the due jobs of the Tide's types one by one, also those that they enqueue.

    `database` is a URL or a connection (psycopg, SQLAlchemy or Django on psycopg). On a connection, everything
    happens in its transaction, so a test that rolls back leaves nothing. Errors of handlers are recorded, not
    raised. Jobs that are scheduled or retried for later stay. Raises AssertionError after `at_most` runs.
    """
    queue = PostgresJobQueue(_session(database), pod_uid="testing", lease_seconds=_LEASE_SECONDS)
    ring, ended = Ring(tuple(tide.handlers)), list[Ended]()
    try:
        while claimed := (claim := queue.claim(ring, 1, 1)).jobs:
            ring = claim.ring
            for job in claimed:
                end = _end_of(tide.handlers[job.type], job)
                queue.finish([end])
                ended.append(Ended(job, end.status, json.loads(end.result) if end.result else job.result))
            if len(ended) >= at_most:
                raise AssertionError(f"still not empty after {at_most} jobs, the last of type {ended[-1].job.type!r}")
    finally:
        queue.close()
    return ended


def enqueued(connection: Any, type_: str, *, tenant_id: UUID | str | None = None) -> list[Enqueued]:
    """The pending jobs of the type (and the tenant), in the order in which they were enqueued."""
    return run_task(connection, _enqueued(type_, tenant_id), several=False)


def assert_enqueued(connection: Any, type_: str, *, tenant_id: UUID | str | None = None, **payload: Any) -> Enqueued:
    """The first pending job of the type (and the tenant) whose payload has these fields, with these values.

    Raises AssertionError that lists what is pending instead.
    """
    __tracebackhide__ = True
    waiting = enqueued(connection, type_, tenant_id=tenant_id)
    matching = _matching(waiting, payload)
    if not matching:
        raise AssertionError(f"no pending {_described(type_, tenant_id, payload)}; pending are: {_listed(waiting)}")
    return matching[0]


def assert_not_enqueued(connection: Any, type_: str, *, tenant_id: UUID | str | None = None, **payload: Any) -> None:
    """Raises AssertionError that lists the pending jobs that match."""
    __tracebackhide__ = True
    matching = _matching(enqueued(connection, type_, tenant_id=tenant_id), payload)
    if matching:
        raise AssertionError(f"expected no pending {_described(type_, tenant_id, payload)}: {_listed(matching)}")


def _handler(tide: Tide, type_: str) -> Handler:
    if type_ not in tide:
        raise LookupError(f"no handler for {type_!r}; there are: {', '.join(map(repr, tide.handlers)) or 'none'}")
    return tide.handlers[type_]


def _job(type_: str, payload: Any, tenant_id: UUID | str | None, attempt: int) -> Job:
    stored = json.loads(json_text(json_value(payload), f"the payload of {type_!r}"))
    owner = uuid4() if tenant_id is None else UUID(str(tenant_id))
    return Job(uuid4(), owner, type_, stored, attempt, token="jobtide:testing:0")  # noqa: S106 - of a claim


def _stored(value: Any) -> Json:
    return json.loads(outcome.encode(value, _MAX_RESULT_BYTES))


def _finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    coroutine.close()
    raise RuntimeError(
        "an async handler can't be awaited here, inside a running event loop: await jobtide.testing.run_async(...), "
        "or await asyncio.to_thread(drain, ...)"
    )


def _end_of(handler: Handler, job: Job) -> End:
    """Runs the handler as a worker does, without threads, timeouts and cancellation."""
    policy = RetryPolicy() if handler.max_attempts is None else RetryPolicy(handler.max_attempts)
    if job.attempt > policy.max_attempts:
        return outcome.exhausted(job, policy.max_attempts, outcome.moment())
    try:
        value = handler.function(*handler.arguments(job.payload, Context(job)))
        returned = _finished(value) if handler.is_async else value
    except Exception as error:  # noqa: BLE001 - any error of a handler ends its job
        return outcome.raised(job, error, policy, outcome.moment())
    return outcome.returned(job, returned, _MAX_RESULT_BYTES, outcome.moment())


class _Borrowed(Session):
    """The caller's connection and transaction. Errors reach the caller unchanged."""

    def __init__(self, connection: Any) -> None:
        super().__init__(lambda: "")
        self._borrowed = connection

    def execute(self, statement: LiteralString, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        with Cursor(self._borrowed, row_factory=dict_row) as cursor:  # Django's own cursors have no binary results
            cursor.adapters.register_loader("jsonb", JsonbBinaryLoader)  # Django's connections leave JSON as text
            cursor.adapters.register_loader("timestamptz", MomentLoader)
            rows: list[dict[str, Any]] = cursor.execute(statement, parameters, binary=True).fetchall()
            return rows

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        yield self.execute


def _session(database: Any) -> Session:
    return Session(lambda: database) if isinstance(database, str) else _Borrowed(psycopg_connection(database))


def _enqueued(type_: str, tenant_id: UUID | str | None) -> Task[list[Enqueued]]:
    asked = {"type": type_, "tenant_id": None if tenant_id is None else str(tenant_id)}
    rows = yield Statement(load("jobtide.sql", "testing/enqueued"), json.dumps(asked))
    return [
        Enqueued(UUID(id_), type_, UUID(owner), None if payload is None else json.loads(payload), _moment(due))
        for id_, owner, payload, due in rows
    ]


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)


def _matching(waiting: Sequence[Enqueued], fields: Mapping[str, Any]) -> list[Enqueued]:
    return [job for job in waiting if not fields or _has(job.payload, fields)]


def _has(payload: Json, fields: Mapping[str, Any]) -> bool:
    return isinstance(payload, dict) and all(
        name in payload and payload[name] == value for name, value in fields.items()
    )


def _described(type_: str, tenant_id: UUID | str | None, fields: Mapping[str, Any]) -> str:
    of_tenant = "" if tenant_id is None else f" of tenant {tenant_id}"
    return f"{type_!r}{of_tenant}" + (f" with {dict(fields)}" if fields else "")


def _listed(jobs: Sequence[Enqueued]) -> str:
    return "; ".join(f"{job.payload} of tenant {job.tenant_id}" for job in jobs) or "none of this type"
