"""A job_queue on a real server, filled to order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

import psycopg

from dev.postgres import Server
from jobtide.schema import apply


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

    def fill(self, type_: str, rows: int, tenants: list[UUID]) -> None:
        """`rows` pending jobs, dealt out to the tenants in turn."""
        self.run(
            """INSERT INTO job_queue (tenant_id, type)
               SELECT (%(tenants)s::uuid[])[1 + n %% cardinality(%(tenants)s::uuid[])], %(type)s
               FROM generate_series(0, %(rows)s - 1) AS n""",
            tenants=tenants,
            type=type_,
            rows=rows,
        )


@contextmanager
def bench_table(version: int) -> Iterator[Table]:
    """A durable server (fsync on, as in production) with the schema applied."""
    with Server(version=version, durable=True, settings={"shared_buffers": "1GB", "max_wal_size": "4GB"}) as server:
        url = server.url()
        with psycopg.connect(url, autocommit=True) as connection:
            apply(url)
            yield Table(server, url, connection)
