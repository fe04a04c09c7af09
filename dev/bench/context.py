"""What the parts of a benchmark share: each thing is started when a part first needs it."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Self

from dev.bench.table import SETTINGS, Table, bench_table


class Bench:
    """One run. What was started ends with the run."""

    def __init__(self, postgres_version: int) -> None:
        self.postgres_version = postgres_version
        self._started = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._started.close()

    @cached_property
    def table(self) -> Table:
        """Prints the settings of the server: figures mean little without them."""
        table = self._started.enter_context(bench_table(self.postgres_version))
        row = table.connection.execute("SHOW server_version").fetchone()
        assert row is not None
        settings = ", ".join(f"{name} {value}" for name, value in SETTINGS.items())
        print(f"PostgreSQL {row[0]}, fsync on, synchronous_commit on, {settings}", flush=True)
        return table
