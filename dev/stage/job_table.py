"""One database's job_queue: inserts jobs as an application would, and reads how they ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import psycopg

from dev.machine.errors import DevError
from jobtide.sql import load

SQL = "dev.stage.sql"
TENANT_PREFIX = "demo tenant "


@dataclass(frozen=True, slots=True)
class NewJob:
    """One row to insert."""

    id: UUID
    tenant_id: UUID
    type: str
    payload: Any


class Databases(Protocol):
    """Databases of a server that may just be starting."""

    def connect(
        self, database: str, *, within_seconds: float = 60.0
    ) -> AbstractContextManager[psycopg.Connection[Any]]:
        """A connection in autocommit, as superuser; raises DevError where there is none within this time."""
        ...


@dataclass(frozen=True, slots=True)
class JobTable:
    """The job_queue of `database`, for tenants whose names begin with TENANT_PREFIX."""

    postgres: Databases
    database: str = "main"

    def clear(self) -> None:
        """Removes all tenants and jobs of earlier runs."""
        with self.postgres.connect(self.database) as conn:
            conn.execute(load(SQL, "ledger"))
            conn.execute(load(SQL, "clear"), {"name": f"{TENANT_PREFIX}%"})
            conn.execute("TRUNCATE jobtide_demo.transitions")

    def add_tenants(self, names: Iterable[str]) -> dict[UUID, str]:
        with self.postgres.connect(self.database) as conn:
            statement = "INSERT INTO tenants (name) VALUES (%s) RETURNING id"
            return {conn.execute(statement, [TENANT_PREFIX + name]).fetchall()[0][0]: name for name in names}

    def insert(self, jobs: Sequence[NewJob]) -> None:
        """Plain rows, 500 in a transaction: created_at is the time at which the transaction began."""
        copy = "COPY job_queue (id, tenant_id, type, payload) FROM STDIN"
        with self.postgres.connect(self.database) as conn:
            for start in range(0, len(jobs), 500):
                with conn.cursor().copy(copy) as rows:
                    for job in jobs[start : start + 500]:
                        rows.write_row((job.id, job.tenant_id, job.type, json.dumps(job.payload)))

    def unfinished(self, tenants: Iterable[UUID]) -> int | None:
        """How many jobs are pending or processing; None if the database does not answer."""
        try:
            with self.postgres.connect(self.database, within_seconds=0) as conn:
                return int(conn.execute(load(SQL, "unfinished"), {"tenants": list(tenants)}).fetchall()[0][0])
        except (psycopg.OperationalError, DevError):
            return None

    def rows(self, tenants: Iterable[UUID]) -> dict[UUID, Row]:
        with self.postgres.connect(self.database) as conn:
            found = conn.execute(load(SQL, "rows"), {"tenants": list(tenants)}).fetchall()
        return {row[0]: Row(*row) for row in found}


@dataclass(frozen=True, slots=True)
class Row:
    """One job, with what the ledger recorded of it (sql/ledger.sql)."""

    id: UUID
    status: str
    result: Any
    attempts: int
    accepted_ends: int  # how often its status became completed or failed
    wait_seconds: float | None  # from the insert to its first claim, by the database's clock; None: never claimed
