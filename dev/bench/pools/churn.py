"""A thousand of ten thousand pools change every minute: what the controller takes, and how fast it is then."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic, sleep

from dev.bench.pools.cluster import pool_name
from dev.bench.pools.controller import Controller
from dev.bench.pools.scale_ups import ScaleUps
from dev.bench.pools.site import Site

JOBS_EACH = 8
A_MINUTE = 1_000
GROUP = 20
JOBS_LAST_SECONDS = 10.0
# Until as many pools go down as up: they do so a stabilization time, 60 s, after their last job, which lasts 10 s.
BEFORE_SECONDS = 75.0
MEASURED_SECONDS = 30.0
ARRIVES_WITHIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Churn:
    """The controller while so many pools go up and as many go down. Memory is in MB of 2^20 bytes."""

    cores: float
    resident_mb: float
    p95_seconds: float  # from the jobs to the number of workers


def churn(here: Site, running: Controller, pools: int) -> Churn:
    """Gives jobs to one group of pools after another, for a few seconds each; no pool gets them twice."""
    asked_at: dict[str, float] = {}
    with ScaleUps(here.cluster) as scale_ups:
        groups = iter(range(first, first + GROUP) for first in range(0, pools, GROUP))
        _change(here, groups, asked_at, BEFORE_SECONDS)
        cpu_before, started = running.cpu_seconds, monotonic()
        _change(here, groups, asked_at, MEASURED_SECONDS)
        cores = (running.cpu_seconds - cpu_before) / (monotonic() - started)
        resident = running.resident_mb
        sleep(ARRIVES_WITHIN_SECONDS)
        waits = [scale_ups.at.get(f"{name}-worker", monotonic()) - at for name, at in asked_at.items() if at > started]
    here.clear()
    return Churn(cores, resident, statistics.quantiles(waits, n=20)[-1])


def _change(here: Site, groups: Iterator[Sequence[int]], asked_at: dict[str, float], seconds: float) -> None:
    """Inserts for one group after another, and deletes the jobs of those from some seconds ago."""
    with_jobs: list[tuple[float, Sequence[int]]] = []
    started = monotonic()
    for number in range(round(seconds * A_MINUTE / 60 / GROUP)):
        sleep(max(0.0, started + number * 60 * GROUP / A_MINUTE - monotonic()))
        group = next(groups)
        here.insert_for(group, JOBS_EACH)
        now = monotonic()
        asked_at.update((pool_name(one), now) for one in group)
        with_jobs.append((now, group))
        while with_jobs and now - with_jobs[0][0] > JOBS_LAST_SECONDS:
            here.delete_for(with_jobs.pop(0)[1])
    for _, group in with_jobs:
        here.delete_for(group)
