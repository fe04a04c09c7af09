"""The cost of the controller's reading, against one count for each pool, and as the queue gets deeper."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.bench.figures import Figure, median_and_spread, seconds_of
from dev.bench.settle import until_settled
from dev.bench.table import Table
from jobtide_controller.decide.reading import Reading
from jobtide_controller.postgres.readings import Limits, Reader
from jobtide_controller.postgres.urls import DatabaseUrls

POOLS = 100
TENANTS = 5
SHALLOW = 10_000
COUNT = "SELECT count(*) FROM job_queue WHERE type = %s AND status = 'pending'"


def measure(table: Table, deep: int) -> list[Figure]:
    """Returns the cost of a reading with `deep` pending rows, over that of counts and of a shallow queue."""
    types = [f"pool.{number}" for number in range(POOLS)]
    table.refill_types(types, SHALLOW, table.tenants(TENANTS))
    with _reader(table) as reader:
        shallow = _milliseconds(reader, types)
        table.refill_types(types, deep, table.tenants(TENANTS))
        depths, counts, seed_counts = list[float](), list[float](), list[float]()
        for _ in until_settled(depths, counts, seed_counts, at_most=5):
            depths.append(_milliseconds(reader, types))
            counts.append(seconds_of(lambda: _count_each(table, types)) * 1e3)
            seed_counts.append(_milliseconds_of_seed_counts(table, types))
        calls = {count: _statements(table, types[:count]) for count in (1, POOLS)}
    depth = statistics.median(depths)
    growth, growth_spread = median_and_spread([mine / shallow for mine in depths])
    setting = f"{deep:,} pending rows"
    return [
        _cheaper(depths, seed_counts, f"{setting}, seed's indexes"),
        _cheaper(depths, counts, f"{setting}, Jobtide's index too", "with Jobtide's index"),
        Figure("depth read, deep queue against 10,000 pending", growth, "x", 3, "lower",
               f"{setting}; {depth:.1f} ms against {shallow:.1f} ms", growth_spread),
        Figure(f"statements per tick, {POOLS} types against 1", calls[POOLS] / calls[1], "x", 1, "lower",
               f"over 10 ticks: {calls[POOLS] / 10:g} and {calls[1] / 10:g}"),
    ]  # fmt: skip


def _cheaper(depths: list[float], counts: list[float], how: str, which: str = "") -> Figure:
    gain, spread = median_and_spread([theirs / mine for mine, theirs in zip(depths, counts, strict=True)])
    times = f"; {statistics.median(depths):.1f} ms against {statistics.median(counts):,.0f} ms"
    name = f"depth read for {POOLS} pools against {POOLS} counts {which}".rstrip()
    return Figure(name, gain, "x cheaper", 100, "higher", how + times, spread)


@contextmanager
def _reader(table: Table) -> Iterator[Reader]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench").mkdir()
        Path(folder, "bench", "url").write_text(table.url)
        reader = Reader("bench", DatabaseUrls(Path(folder)), Limits(statement_seconds=60))
        yield reader
        reader.session.close()


def _milliseconds(reader: Reader, types: list[str]) -> float:
    """Median of the statement's time that the reading reports, after a first one that finds the number of keys."""
    _read(reader, types)
    return statistics.median(_read(reader, types).query_seconds for _ in range(5)) * 1e3


def _read(reader: Reader, types: list[str]) -> Reading:
    reading = reader.read(types)
    if not isinstance(reading, Reading):
        raise RuntimeError(f"the table can't be read: {reading}")  # noqa: TRY004
    return reading


def _count_each(table: Table, types: list[str]) -> None:
    for type_ in types:
        table.connection.execute(COUNT, [type_]).fetchone()


def _milliseconds_of_seed_counts(table: Table, types: list[str]) -> float:
    """Ten of the hundred counts, times ten: each reads a large part of the table."""
    with table.connection.transaction(force_rollback=True):
        table.run("DROP INDEX idx_job_queue_due")
        return seconds_of(lambda: _count_each(table, types[::10])) * 1e4


def _statements(table: Table, types: list[str]) -> int:
    """Statements that reach the server in ten ticks, without the checks of a new connection."""
    table.run("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    table.run("ALTER ROLE CURRENT_USER SET pg_stat_statements.track = 'all'")
    with _reader(table) as reader:
        _read(reader, types)
        table.run("SELECT pg_stat_statements_reset()")
        for _ in range(10):
            _read(reader, types)
        row = table.connection.execute(
            "SELECT sum(calls) FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'"
        ).fetchone()
    table.run("ALTER ROLE CURRENT_USER RESET pg_stat_statements.track")
    assert row is not None
    return int(row[0])
