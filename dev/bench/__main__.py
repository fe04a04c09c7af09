"""`make bench`: every figure in one run, as a table and as build/bench.json."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from dev.bench import claims, depth, fairness, footprint, throughput
from dev.bench.figures import Figure, table, write_json
from dev.bench.table import SETTINGS, Table, bench_table

PARTS: dict[str, Callable[[Table], list[Figure]]] = {
    "footprint": footprint.measure,
    "claims": claims.measure,
    "fairness": fairness.measure,
    "throughput": throughput.measure,
    "depth": lambda table: depth.measure(table, 1_000_000),
    "depth-5m": lambda table: depth.measure(table, 5_000_000),
}
DEFAULT = ("footprint", "claims", "fairness", "throughput", "depth")
FULL = (*DEFAULT[:-1], "depth-5m")
RESULT = Path("build/bench.json")


def machine(table: Table) -> str:
    """Where and under which settings: figures without these say little."""
    gibibytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    row = table.connection.execute("SHOW server_version").fetchone()
    assert row is not None
    settings = ", ".join(f"{name} {value}" for name, value in SETTINGS.items())
    return (
        f"{os.cpu_count()} cores, {gibibytes:.0f} GiB, load {os.getloadavg()[0]:.1f}; {datetime.now(UTC):%Y-%m-%d}; "
        f"PostgreSQL {row[0]}, fsync on, synchronous_commit on, {settings}; Python {platform.python_version()}"
    )


def main() -> int:
    """0 when everything could be measured, whether or not the goals are met: the table says that."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this part; may be repeated")
    parser.add_argument("--full", action="store_true", help="read the depth of 5M pending rows, not of 1M")
    parser.add_argument("--version", type=int, default=18, choices=(15, 18), help="PostgreSQL's major version")
    chosen = parser.parse_args()
    figures: list[Figure] = []
    with bench_table(chosen.version) as bench:
        print(machine(bench))
        for name in chosen.only or (FULL if chosen.full else DEFAULT):
            print(f"measuring {name} ...", end="", flush=True)
            started = monotonic()
            figures += PARTS[name](bench)
            print(f" {monotonic() - started:.0f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    print(table(figures))
    write_json(figures, RESULT)
    print(f"\nwritten to {RESULT}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
