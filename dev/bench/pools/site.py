"""One API server, one database and one controller, in which the pools of a benchmark live."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import psycopg

from dev.bench.pools.cluster import Cluster, cluster, job_type
from dev.bench.pools.controller import Controller, controller
from dev.machine.errors import DevError
from dev.postgres.server import Server
from jobtide.schema import apply

READING = "WITH RECURSIVE clock"  # how the statement of readings.sql begins


@dataclass(frozen=True, slots=True)
class Statements:
    """SQL statements that one controller sends, from pg_stat_statements; BEGIN and COMMIT count."""

    per_reading: int
    per_second: float


@dataclass(frozen=True, slots=True)
class Site:
    """One API server, one database, one controller."""

    folder: Path
    cluster: Cluster
    jobs: psycopg.Connection

    @contextmanager
    def controller(self) -> Iterator[Controller]:
        with controller(self.folder, self.cluster.plane.kubeconfig, self.folder / "databases") as running:
            yield running

    def statements(self, seconds: float) -> Statements:
        """What the controller sends in `seconds`. Rounding leaves out its checks of the schema, two a minute."""
        self.jobs.execute("SELECT pg_stat_statements_reset()")
        started = monotonic()
        sleep(seconds)
        rows = self.jobs.execute("SELECT calls, query FROM pg_stat_statements").fetchall()
        passed = monotonic() - started
        readings = next((calls for calls, query in rows if query.startswith(READING)), 0)
        if not readings:
            raise DevError(f"the controller read nothing for {passed:.0f} s: the machine is too busy to measure it")
        return Statements(sum(round(calls / readings) for calls, _ in rows), sum(calls for calls, _ in rows) / passed)

    def insert(self, type_: str, count: int, *, claimed_by: str | None = None) -> None:
        """Inserts pending jobs, or jobs that the worker `claimed_by` runs in its first attempt."""
        self.jobs.execute(
            """INSERT INTO job_queue (tenant_id, type, status, worker_id, attempts)
               SELECT (SELECT id FROM tenants LIMIT 1), %(type)s, %(status)s, %(worker)s, %(attempts)s
               FROM generate_series(1, %(count)s)""",
            {
                "type": type_,
                "count": count,
                "status": "pending" if claimed_by is None else "processing",
                "worker": claimed_by,
                "attempts": 0 if claimed_by is None else 1,
            },
        )

    def insert_for(self, numbers: Iterable[int], jobs_each: int) -> None:
        """Inserts pending jobs for each of these pools, in one transaction: one reading sees all of them."""
        self.jobs.execute(
            """INSERT INTO job_queue (tenant_id, type)
               SELECT (SELECT id FROM tenants LIMIT 1), type FROM unnest(%(types)s::text[]) AS type,
                      generate_series(1, %(count)s)""",
            {"types": [job_type(number) for number in numbers], "count": jobs_each},
        )

    def delete_for(self, numbers: Iterable[int]) -> None:
        """Deletes all jobs of these pools."""
        types = [job_type(number) for number in numbers]
        self.jobs.execute("DELETE FROM job_queue WHERE type = ANY(%(types)s)", {"types": types})

    def count(self, status: str) -> int:
        row = self.jobs.execute("SELECT count(*) FROM job_queue WHERE status = %s::job_status", [status]).fetchone()
        assert row is not None
        return int(row[0])

    def clear(self) -> None:
        self.jobs.execute("DELETE FROM job_queue")


@contextmanager
def site(postgres_version: int) -> Iterator[Site]:
    """Starts PostgreSQL and an API server, with one tenant and no job; both end with the block."""
    settings = {"shared_preload_libraries": "pg_stat_statements"}
    with (
        tempfile.TemporaryDirectory() as name,
        Server(version=postgres_version, settings=settings) as server,
        cluster(Path(name) / "plane") as running,
    ):
        url = server.url()
        apply(url)
        configured = Path(name, "databases", "main")
        configured.mkdir(parents=True)
        (configured / "url").write_text(url)
        with psycopg.connect(url, autocommit=True) as jobs:
            jobs.execute("CREATE EXTENSION pg_stat_statements")
            jobs.execute("INSERT INTO tenants DEFAULT VALUES")
            yield Site(Path(name), running, jobs)
