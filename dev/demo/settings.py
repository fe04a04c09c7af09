"""Settings of the demo: how many jobs and tenants, and how long PostgreSQL is down."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.machine.settings import whole_number

FEWEST_JOBS = 50  # with fewer, most would be malformed
MOST_JOBS = 1_000_000  # this process keeps all of them in memory
MOST_TENANTS = 10_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The size of one demo run, and its only fault."""

    jobs: int = 3_000
    tenants: int = 20
    postgres_down_seconds: int = 0  # 0: it is not killed
    on_cluster: bool = False  # else with `jobtide dev`, on this machine
    record: Path | None = None  # where to write what was observed, if every claim was true


def read_settings(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads flags, or JOBS and TENANTS. dev/cluster/choose.py reads the variables of the cluster."""
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    parser.add_argument("--jobs", help="default: JOBS, or 3000", default=environ.get("JOBS") or "3000")
    parser.add_argument("--tenants", help="default: TENANTS, or 20", default=environ.get("TENANTS") or "20")
    parser.add_argument(
        "--chaos-postgres",
        metavar="SECONDS",
        nargs="?",
        const="30",
        default="0",
        help="kill PostgreSQL while jobs run, and keep it down for so many seconds (30)",
    )
    parser.add_argument("--cluster", action="store_true", help="on Kubernetes, not with `jobtide dev`")
    parser.add_argument("--record", metavar="FILE", type=Path, help="write jobs left and workers over time, as JSON")
    parsed = parser.parse_args(arguments)
    return Settings(
        jobs=whole_number("JOBS", parsed.jobs, FEWEST_JOBS, MOST_JOBS),
        tenants=whole_number("TENANTS", parsed.tenants, 1, MOST_TENANTS),
        postgres_down_seconds=whole_number("--chaos-postgres", parsed.chaos_postgres, 0, 600),
        on_cluster=parsed.cluster,
        record=parsed.record,
    )
