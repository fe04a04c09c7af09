"""What a person may say about the demo: how many jobs, how many tenants, which cluster, and what breaks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dev.machine.settings import whole_number

FEWEST_JOBS = 50  # below, the malformed ones would be most of them
MOST_JOBS = 1_000_000  # every one is compared with its own answer, in this process's memory
MOST_TENANTS = 10_000


@dataclass(frozen=True, slots=True)
class Settings:
    jobs: int = 3_000
    tenants: int = 20
    postgres_down_seconds: int = 0  # 0: nothing is broken on purpose


def read_settings(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """From flags and from JOBS and TENANTS; the cluster's own variables are read where it is chosen."""
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    parser.add_argument("--jobs", help="default: JOBS, or 3000", default=environ.get("JOBS") or "3000")
    parser.add_argument("--tenants", help="default: TENANTS, or 20", default=environ.get("TENANTS") or "20")
    parser.add_argument(
        "--chaos-postgres",
        metavar="SECONDS",
        nargs="?",
        const="30",
        default="0",
        help="kill PostgreSQL in the middle and keep it down so long (30)",
    )
    parsed = parser.parse_args(arguments)
    return Settings(
        jobs=whole_number("JOBS", parsed.jobs, FEWEST_JOBS, MOST_JOBS),
        tenants=whole_number("TENANTS", parsed.tenants, 1, MOST_TENANTS),
        postgres_down_seconds=whole_number("--chaos-postgres", parsed.chaos_postgres, 0, 600),
    )
