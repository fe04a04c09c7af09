"""A job_queue on a real server, filled to order."""

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
    """One server's table; `connection` is in autocommit."""

    server: Server
    url: str
    connection: psycopg.Connection

    def run(self, statement: LiteralString, **parameters: object) -> None:
        self.connection.execute(statement, parameters)

    def clear(self) -> None:
        self.run("TRUNCATE job_queue")

    def settle(self) -> None:
        """What autovacuum would have done by now, so that two measurements start alike."""
        self.run("VACUUM (ANALYZE) job_queue")
        self.run("CHECKPOINT")

    def tenants(self, count: int) -> list[UUID]:
        """The first `count` tenants, made where missing."""
        self.run(
            """INSERT INTO tenants (id)
               SELECT lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, %(count)s) AS n ON CONFLICT DO NOTHING""",
            count=count,
        )
        return [UUID(int=number) for number in range(1, count + 1)]

    def refill(self, type_: str, rows: int, tenants: list[UUID]) -> None:
        """Nothing but these, vacuumed."""
        self.clear()
        self.fill(type_, rows, tenants)
        self.settle()

    def fill(self, type_: str, rows: int, tenants: list[UUID]) -> None:
        """`rows` pending jobs, dealt out to the tenants in turn."""
        self.fill_types([type_], rows, tenants)

    def fill_types(self, types: list[str], rows: int, tenants: list[UUID]) -> None:
        """`rows` pending jobs, dealt out to the types and to each type's tenants in turn."""
        self.run(
            """INSERT INTO job_queue (tenant_id, type)
               SELECT (%(tenants)s::uuid[])[1 + n / cardinality(%(types)s::text[]) %% cardinality(%(tenants)s::uuid[])],
                      (%(types)s::text[])[1 + n %% cardinality(%(types)s::text[])]
               FROM generate_series(0, %(rows)s - 1) AS n""",
            types=types,
            tenants=tenants,
            rows=rows,
        )

    def refill_types(self, types: list[str], rows: int, tenants: list[UUID]) -> None:
        """As refill, for many types and rows: the indexes are built afterwards, which takes a third of the time."""
        self.clear()
        for name in INDEXES:
            self.run(f"DROP INDEX {name}")
        self.run("SET maintenance_work_mem = '1GB'")
        self.fill_types(types, rows, tenants)
        for name in INDEXES:
            self.run(index_file(name, concurrently=False))
        self.settle()


@contextmanager
def bench_table(version: int) -> Iterator[Table]:
    """A durable server (fsync on, as in production) with the schema applied."""
    with Server(version=version, durable=True, settings=SETTINGS) as server:
        url = server.url()
        with psycopg.connect(url, autocommit=True) as connection:
            apply(url)
            # The rows are made to be right: checking each tenant would take a third of the filling.
            connection.execute("SET session_replication_role = replica")
            yield Table(server, url, connection)
