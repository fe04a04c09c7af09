"""The application: inserts each planned job at its time, and retries until it is in the table."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from dev.chaos.server import PostgresServer
from dev.chaos.workload import Arrival, ChaosJob
from jobtide.sql import load

SQL = "dev.chaos.sql"
AGAIN_SECONDS = 0.3
AT_ONCE = 50  # rows in one transaction


@dataclass(slots=True)
class Producer:
    """A thread that ends when all planned jobs are in the table."""

    server: PostgresServer
    arrivals: Sequence[Arrival]
    tenants: Sequence[UUID]
    inserted: dict[UUID, ChaosJob] = field(default_factory=dict)  # known to be in the table
    uncertain: int = 0  # inserts whose answer was lost; checked later
    _conn: psycopg.Connection[Any] | None = field(init=False, default=None)
    _thread: threading.Thread = field(init=False)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, args=(time.monotonic(),), name="producer", daemon=True)
        self._thread.start()

    def join(self, timeout_seconds: float) -> bool:
        """True if it has inserted all jobs."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self, began_at: float) -> None:
        waiting = [*self.arrivals]
        while waiting:
            time.sleep(max(0.0, waiting[0].at_seconds - (time.monotonic() - began_at)))
            passed_seconds = time.monotonic() - began_at
            due = [arrival.job for arrival in waiting[:AT_ONCE] if arrival.at_seconds <= passed_seconds]
            self._insert_surely(due)
            waiting = waiting[len(due) :]
        self._disconnect()

    def _insert_surely(self, jobs: Sequence[ChaosJob]) -> None:
        """Retries until it succeeds. After a lost answer it looks for the rows before it sends them again."""
        unknown = False
        while True:
            try:
                conn = self._connected()
                missing = self._missing(conn, jobs) if unknown else jobs
                self.uncertain += unknown
                unknown = True
                self._insert(conn, missing)
            except psycopg.errors.UniqueViolation:
                continue  # the attempt whose answer was lost was not committed yet when the rows were looked for
            except psycopg.OperationalError:
                self._disconnect()
                time.sleep(AGAIN_SECONDS)
                continue
            self.inserted |= {job.id: job for job in jobs}
            return

    def _connected(self) -> psycopg.Connection[Any]:
        if self._conn is None or self._conn.closed:
            self._conn = self.server.connect()
        return self._conn

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _missing(self, conn: psycopg.Connection[Any], jobs: Sequence[ChaosJob]) -> list[ChaosJob]:
        found = conn.execute(load(SQL, "known"), {"ids": [job.id for job in jobs]}).fetchall()
        known = {row[0] for row in found}
        return [job for job in jobs if job.id not in known]

    def _insert(self, conn: psycopg.Connection[Any], jobs: Sequence[ChaosJob]) -> None:
        with conn.transaction(), conn.cursor() as cursor:
            cursor.executemany(load(SQL, "insert"), [self._row(job) for job in jobs])

    def _row(self, job: ChaosJob) -> Mapping[str, Any]:
        return {
            "id": job.id,
            "tenant_id": self.tenants[job.tenant],
            "type": job.type,
            "payload": json.dumps(dict(job.payload)),
            "delay_seconds": job.delay_seconds,
        }
