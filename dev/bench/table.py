"""A job_queue on a real server, filled with rows for a benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

import psycopg

from dev.postgres.server import Server
from jobtide.schema import apply
from jobtide.schema.script import INDEXES, index_file

SETTINGS = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "none",  # switched on by the one figure that counts statements
}


@dataclass(slots=True)
class Table:
    """The table of one server; `connection` is in autocommit."""

    server: Server
    url: str
    connection: psycopg.Connection

    def run(self, statement: LiteralString, **parameters: object) -> None:
        self.connection.execute(statement, parameters)

    def clear(self) -> None:
        self.run("TRUNCATE job_queue")

    def vacuum(self) -> None:
        """What autovacuum would do, so that all measurements start from the same state."""
        self.run("VACUUM (ANALYZE) job_queue")
        self.run("CHECKPOINT")

    def tenants(self, count: int) -> list[UUID]:
        """The first `count` tenants; makes those that are missing."""
        self.run(
            """INSERT INTO tenants (id)
               SELECT lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, %(count)s) AS n ON CONFLICT DO NOTHING""",
            count=count,
        )
        return [UUID(int=number) for number in range(1, count + 1)]

    def refill(self, type_: str, rows: int, tenants: list[UUID]) -> None:
        """These rows and no others, vacuumed."""
        self.clear()
        self.fill(type_, rows, tenants)
        self.vacuum()

    def fill(self, type_: str, rows: int, tenants: list[UUID]) -> None:
        """`rows` pending jobs, distributed evenly over the tenants."""
        self.fill_types([type_], rows, tenants)

    def fill_types(self, types: list[str], rows: int, tenants: list[UUID]) -> None:
        """`rows` pending jobs, distributed evenly over the types and over the tenants of each type."""
        with self._without_triggers():
            self.run(
                """INSERT INTO job_queue (type, tenant_id)
                   SELECT
                       (%(types)s::text[])[1 + n %% cardinality(%(types)s::text[])],
                       (%(tenants)s::uuid[])[1 + n / cardinality(%(types)s::text[]) %% cardinality(%(tenants)s::uuid[])]
                   FROM generate_series(0, %(rows)s - 1) AS n""",
                types=types,
                tenants=tenants,
                rows=rows,
            )

    @contextmanager
    def _without_triggers(self) -> Iterator[None]:
        """The rows are valid: checking the tenant of each would take a third of the time. Not for single inserts."""
        self.run("SET session_replication_role = replica")
        yield
        self.run("RESET session_replication_role")

    def refill_types(self, types: list[str], rows: int, tenants: list[UUID]) -> None:
        """Like refill, for many types and rows: builds the indexes afterwards, in a third of the time."""
        self.clear()
        with self.without_indexes():
            self.fill_types(types, rows, tenants)
        self.vacuum()

    @contextmanager
    def without_indexes(self) -> Iterator[None]:
        """Builds them again after the block."""
        for name in INDEXES:
            self.run(f"DROP INDEX {name}")
        self.run("SET maintenance_work_mem = '1GB'")
        yield
        for name in INDEXES:
            self.run(index_file(name, concurrently=False))


@contextmanager
def bench_table(version: int) -> Iterator[Table]:
    """A durable server (fsync on, as in production) with the schema applied."""
    with Server(version=version, durable=True, settings=SETTINGS) as server:
        url = server.url()
        with psycopg.connect(url, autocommit=True) as connection:
            apply(url)
            yield Table(server, url, connection)
