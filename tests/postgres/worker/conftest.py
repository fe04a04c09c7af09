"""A queue over a real table, and workers as real processes.

queue     queue(pod_uid="pod-1", lease_seconds=60) -> PostgresJobQueue on a connection of its own
enqueue   enqueue("type", tenant_id, payload=..., **columns) -> the new job's id, by plain INSERT
expire    expire(job): the lease of this claim ends
row       row(id) -> the row as a dict
worker    worker(**environment) -> a `jobtide worker` process running tests' handlers, ended for you
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from jobtide.job import Job
from jobtide.queue.caps import NO_CAPS, TenantCaps
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.session import Session

HANDLERS = Path(__file__).parent / "handlers"


@pytest.fixture
def queue(database: str) -> Iterator[Callable[..., PostgresJobQueue]]:
    opened: list[PostgresJobQueue] = []

    def new(
        pod_uid: str = "pod-1", lease_seconds: float = 60, url: str = database, caps: TenantCaps = NO_CAPS
    ) -> PostgresJobQueue:
        opened.append(PostgresJobQueue(Session(lambda: url), pod_uid=pod_uid, lease_seconds=lease_seconds, caps=caps))
        return opened[-1]

    yield new
    for one in opened:
        one.close()


@pytest.fixture
def enqueue(connect) -> Callable[..., UUID]:
    connection = connect()

    def insert(type_: str, tenant_id: UUID, payload: Any = None, **columns: Any) -> UUID:
        values = {
            "type": type_,
            "tenant_id": tenant_id,
            "payload": Jsonb({} if payload is None else payload),
            **columns,
        }
        statement = sql.SQL("INSERT INTO job_queue ({}) VALUES ({}) RETURNING id").format(
            sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Placeholder, values))
        )
        return connection.execute(statement, values).fetchone()[0]

    return insert


@pytest.fixture
def expire(connect) -> Callable[[Job], None]:
    connection = connect()

    def end_lease(job: Job) -> None:
        connection.execute("UPDATE job_queue SET next_retry_at = now() - interval '1 s' WHERE id = %s", [job.id])

    return end_lease


@pytest.fixture
def row(connect) -> Callable[[UUID], dict[str, Any]]:
    connection = connect()

    def read(id_: UUID) -> dict[str, Any]:
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute("SELECT * FROM job_queue WHERE id = %s", [id_]).fetchone()

    return read


@dataclass
class Process:
    """A worker under test; `log` is a file with one JSON object a line."""

    popen: subprocess.Popen[bytes]
    log: Path

    def logged(self, text: str) -> bool:
        return text in self.log.read_text()

    def end(self, signal_number: int, seconds: float = 30) -> int:
        self.popen.send_signal(signal_number)
        return self.popen.wait(seconds)


@pytest.fixture
def worker(database: str, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def start(app: str = "jobs:tide", python: str | Path = sys.executable, **environment: str) -> Process:
        log = tmp_path / f"worker-{len(running)}.log"
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")},
            "JOBTIDE_DATABASE_URL": database,
            "JOBTIDE_HTTP_PORT": "0",
            "JOBTIDE_POLL_SECONDS": "0.1",
            "JOBTIDE_RETRY_BASE_SECONDS": "0.01",
            **environment,
        }
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [python, "-m", "jobtide", "worker", app], cwd=HANDLERS, env=variables, stderr=output
            )
        running.append(Process(popen, log))
        return running[-1]

    yield start
    for process in running:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.wait(60)


@pytest.fixture
def statuses(connect) -> Callable[[], dict[str, int]]:
    connection = connect()

    def count() -> dict[str, int]:
        rows = connection.execute("SELECT status::text, count(*) FROM job_queue GROUP BY 1").fetchall()
        return dict(rows)

    return count
