"""`make bench`: measures every figure in one run; prints a table and writes build/bench.json."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from dev.bench import (
    claims,
    depth,
    fairness,
    footprint,
    inserts,
    loaded,
    pages,
    pickup,
    pinned,
    promised,
    retention,
    tenants,
    throughput,
)
from dev.bench.comparison import Comparison
from dev.bench.context import Bench
from dev.bench.figures import Figure, write_json
from dev.bench.page.measure import measure as measure_page
from dev.bench.pages import Part
from dev.bench.pods.measure import measure as measure_pods
from dev.bench.pools.measure import measure as measure_pools

Measured = list[Figure] | Comparison | tuple[Comparison, list[Figure]]
PARTS: dict[str, Callable[[Bench], Measured]] = {
    "footprint": lambda bench: footprint.measure(bench.table),
    "claims": lambda bench: claims.measure(bench.table),
    "fairness": lambda bench: fairness.measure(bench.table),
    "promised": lambda bench: promised.measure(bench.table),
    "inserts": lambda bench: inserts.measure(bench.table),
    "loaded": lambda bench: loaded.measure(bench.table),
    "pinned": lambda bench: pinned.measure(bench.table, 120),
    "pinned-hour": lambda bench: pinned.measure(bench.table, 3_600),
    "throughput": lambda bench: throughput.measure(bench.table),
    "pickup": lambda bench: pickup.measure(bench.table),
    "depth": lambda bench: depth.measure(bench.table, 1_000_000),
    "depth-5m": lambda bench: depth.measure(bench.table, 5_000_000),
    "tenants": lambda bench: tenants.measure(bench.table),
    "retention": lambda bench: retention.measure(bench.table, 1_000_000),
    "retention-5m": lambda bench: retention.measure(bench.table, 5_000_000),
    "page": lambda bench: measure_page(bench.table, 1_000_000),
    "page-5m": lambda bench: measure_page(bench.table, 5_000_000),
    "pools": lambda bench: measure_pools(bench.postgres_version),
    "pods": lambda _bench: measure_pods(full=False),
    "pods-long": lambda _bench: measure_pods(full=True),
}
LONG = {
    "pinned-hour": "pinned",
    "depth-5m": "depth",
    "retention-5m": "retention",
    "page-5m": "page",
    "pods-long": "pods",
}  # the short form that it replaces
DEFAULT = tuple(name for name in PARTS if name not in LONG)
FULL = tuple(name for name in PARTS if name not in LONG.values())
RESULT = Path("build/bench.json")


def machine() -> str:
    """The machine, its load and the date: figures mean little without them."""
    gibibytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, {gibibytes:.0f} GiB, load {load:.1f}; {datetime.now(UTC):%Y-%m-%d}; "
        f"Python {platform.python_version()}"
    )


def main() -> int:
    """0 if everything could be measured, 1 if a queue could not. Whether the goals are met is in the table."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this part; may be repeated")
    parser.add_argument(
        "--full", action="store_true", help="5M pending rows instead of 1M, jobs of 30 to 90 s instead of 7 to 18 s"
    )
    parser.add_argument("--version", type=int, default=18, choices=(15, 18), help="PostgreSQL's major version")
    parser.add_argument("--docs", action="store_true", help="put tables and charts into docs/benchmarks.md too")
    chosen = parser.parse_args()
    parts: list[Part] = []
    print(machine())
    with Bench(chosen.version) as bench:
        for name in chosen.only or (FULL if chosen.full else DEFAULT):
            print(f"measuring {name} ...", flush=True)
            started, load_before = monotonic(), os.getloadavg()[0]
            measured = PARTS[name](bench)
            print(f"{name}: {monotonic() - started:.0f} s, load {os.getloadavg()[0]:.1f}", flush=True)
            parts.append(part_of(name, f"{machine()}; load before it {load_before:.1f}.", measured))
    for part in parts:
        print(f"\n{part.name}: {part.markdown()}")
    write_json([figure for part in parts for figure in part.figures], RESULT)
    print(f"\nwritten to {RESULT}")
    if chosen.docs:
        print("written to", *pages.write(parts))
    return 1 if any(part.comparison and part.comparison.missing for part in parts) else 0


def part_of(name: str, run: str, measured: Measured) -> Part:
    """What a part returned, as one value."""
    if isinstance(measured, Comparison):
        return Part(name, run, measured, [])
    if isinstance(measured, tuple):
        return Part(name, run, *measured)
    return Part(name, run, None, measured)


if __name__ == "__main__":
    raise SystemExit(main())
