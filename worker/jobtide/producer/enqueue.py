"""Enqueues jobs in the caller's transaction: they exist if, and only if, it commits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import randbelow
from typing import Any
from uuid import UUID, uuid4

from jobtide.errors import JobtideError, seconds_of
from jobtide.payload import in_ascii, json_text, json_value
from jobtide.producer.drivers import Row, Statement, Task, run, run_async
from jobtide.producer.job_ids import Key, key_of, key_of_id
from jobtide.sql import load

_BATCH = 500  # rows in one INSERT
_TRIES = 4
_FARTHEST_SKIP = 1 << 24


class IdTakenError(JobtideError):
    """Another tenant's row has the id of this job, and not by chance."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"nothing was enqueued for {what}: a row of another tenant has its id. Delete that row, and see "
            "`jobtide schema apply --tenant-walls`, which keeps tenants' users from inserting such ids"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """One job for `enqueue_many`; `enqueue` explains the fields."""

    type: str
    payload: Any = None
    tenant_id: UUID | str
    run_at: datetime | None = None
    after: float | timedelta | None = None
    unique: str | None = None
    job_id: UUID | None = None


def enqueue(
    connection: Any,
    type_: str,
    payload: Any = None,
    *,
    tenant_id: UUID | str,
    run_at: datetime | None = None,
    after: float | timedelta | None = None,
    unique: str | None = None,
    job_id: UUID | None = None,
) -> UUID | None:
    """Inserts one job in the transaction that `connection` is in, and returns its id. Commits nothing.

    `connection` is psycopg's, SQLAlchemy's (Connection or Session) or Django's; `enqueue_async` takes their
    asynchronous ones and asyncpg's. `payload` is a JSON value or a pydantic model. `run_at` (with a timezone) or
    `after` (seconds or timedelta) delays it.

    `unique`: inserts nothing and returns None while a job of this tenant and type with the same key is pending or
    processing. `job_id`: the same while the table has a job with that id, in any status.

    Raises ValueError, before anything is sent, for a job that can't be stored; TypeError for another connection;
    IdTakenError, a JobtideError, if another tenant's row has the job's id.
    """
    job = NewJob(
        type=type_, payload=payload, tenant_id=tenant_id, run_at=run_at, after=after, unique=unique, job_id=job_id
    )
    return enqueue_many(connection, [job])[0]


async def enqueue_async(
    connection: Any,
    type_: str,
    payload: Any = None,
    *,
    tenant_id: UUID | str,
    run_at: datetime | None = None,
    after: float | timedelta | None = None,
    unique: str | None = None,
    job_id: UUID | None = None,
) -> UUID | None:
    """`enqueue` on an asynchronous connection: psycopg's, SQLAlchemy's or asyncpg's."""
    job = NewJob(
        type=type_, payload=payload, tenant_id=tenant_id, run_at=run_at, after=after, unique=unique, job_id=job_id
    )
    return (await enqueue_many_async(connection, [job]))[0]


def enqueue_many(connection: Any, jobs: Iterable[NewJob]) -> list[UUID | None]:
    """`enqueue` for many jobs, 500 to a statement. Returns the ids in the order of the jobs.

    Each `unique` key holds one advisory lock until the transaction ends, and a server has room for about 6,400 locks
    (max_locks_per_transaction): commit about every thousand keys.
    """
    checked = [_check(job) for job in jobs]
    return run(connection, _insert(checked), several=_takes_several(checked))


async def enqueue_many_async(connection: Any, jobs: Iterable[NewJob]) -> list[UUID | None]:
    """`enqueue_many` on an asynchronous connection."""
    checked = [_check(job) for job in jobs]
    return await run_async(connection, _insert(checked), several=_takes_several(checked))


@dataclass(frozen=True, slots=True)
class _Checked:
    """A job that PostgreSQL accepts, with its id, or the key that its id is made from."""

    job: NewJob
    tenant_id: UUID
    payload: str  # JSON text in ASCII
    id: UUID | None
    key: Key | None

    @property
    def identity(self) -> UUID | Key | None:
        return self.key or self.id

    @property
    def described(self) -> str:
        """The job, for messages."""
        key = f"unique={self.job.unique!r}" if self.key else f"job_id={self.id}"
        return f"{self.job.type!r} of tenant {self.tenant_id}, {key}"

    def as_json(self, skip: int = 0) -> str:
        """The job as sql/enqueue.sql takes it; `skip` numbers of its key are left out."""
        fields = {
            "id": self.id,
            "first_id": self.key.first_id if self.key else None,
            "last_id": self.key.last_id if self.key else None,
            "skip": skip or None,
            "tenant_id": self.tenant_id,
            "type": self.job.type,
            "run_at": self.job.run_at.isoformat() if self.job.run_at else None,
            "after_seconds": None if self.job.after is None else seconds_of(self.job.after),
        }
        present = {name: value for name, value in fields.items() if value is not None}
        return f'{json.dumps(present, default=str)[:-1]}, "payload": {self.payload}}}'


def _takes_several(checked: Sequence[_Checked]) -> bool:
    return len(checked) > _BATCH or any(job.key for job in checked)


def _insert(checked: Sequence[_Checked]) -> Task[list[UUID | None]]:
    """The task that inserts the jobs. A key or id that occurs twice among them is inserted once, for the first."""
    first = dict(reversed([(job.identity, number) for number, job in enumerate(checked)]))
    locks = sorted({job.key.lock for job in checked if job.key})
    if locks:
        yield Statement(load("jobtide.sql", "enqueue_lock"), json.dumps(locks))
    inserted: dict[int, UUID] = {}
    waiting, skip, taken = sorted(first.values()), 0, list[int]()
    for _ in range(_TRIES):
        taken = []
        for batch in _batches([checked[number] for number in waiting]):
            asked = f"[{','.join(job.as_json(skip) for job in batch)}]"
            rows = yield Statement(load("jobtide.sql", "enqueue"), asked)
            for id_, is_taken in _ids(rows):
                number = first[id_] if id_ in first else first[key_of_id(id_)]
                if is_taken:
                    taken.append(number)
                else:
                    inserted[number] = id_
        if not taken:
            return [inserted.get(number) for number in range(len(checked))]
        # A guess that can't be foreseen: a tenant that took the next number may have taken the ones after it.
        waiting, skip = sorted(number for number in taken if checked[number].key), 1 + randbelow(_FARTHEST_SKIP)
        if len(waiting) < len(taken):
            break
    raise IdTakenError(", ".join(checked[number].described for number in taken))


def _ids(rows: Sequence[Row]) -> Iterator[tuple[UUID, bool]]:
    """As standard UUIDs: asyncpg returns a subclass, and SQLAlchemy may."""
    return ((UUID(str(row[0])), bool(row[1])) for row in rows)


def _batches(jobs: Sequence[_Checked]) -> Iterator[Sequence[_Checked]]:
    return (jobs[start : start + _BATCH] for start in range(0, len(jobs), _BATCH))


def _check(job: NewJob) -> _Checked:
    what = f"the payload of {job.type!r}"
    tenant_id = uuid_of("tenant_id", job.tenant_id)
    json_text(job.type, "the job type")
    if not job.type or job.type != job.type.strip():
        raise ValueError(f"job type {job.type!r}: handlers are found by the exact text; give it without outer spaces")
    if job.run_at is not None and job.after is not None:
        raise ValueError(f"run_at={job.run_at} and after={job.after}: give one of them")
    if job.run_at is not None and job.run_at.utcoffset() is None:
        raise ValueError(f"run_at={job.run_at} has no timezone: give it one, as in datetime.now(UTC)")
    if job.after is not None:
        seconds_of(job.after)
    if job.unique is not None and job.job_id is not None:
        raise ValueError(f"unique={job.unique!r} and job_id={job.job_id}: give one of them")
    if job.unique == "":
        raise ValueError("unique='': every job of this type and tenant would be the same; give a key, or None")
    key = None if job.unique is None else key_of("unique", tenant_id, job.type, job.unique)
    own_id = (job.job_id or uuid4()) if key is None else None
    return _Checked(job, tenant_id, in_ascii(json_text(json_value(job.payload), what)), own_id, key)


def uuid_of(name: str, value: UUID | str) -> UUID:
    """Returns the value as UUID. Raises ValueError for other text; its message calls the value `name`."""
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"{name}={value!r}: expected a UUID") from None
