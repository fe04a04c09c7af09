"""A thousand pools need workers at the same moment: the time until the last number is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from dev.bench.pools.controller import Controller, cpu_seconds
from dev.bench.pools.copies import copy_pool
from dev.bench.pools.scale_ups import ScaleUps
from dev.bench.pools.site import Site

JOBS_EACH = 8
ROUNDS = 3
CALM_SAMPLES = 2


@dataclass(frozen=True, slots=True)
class Burst:
    """Seconds from the commit of the jobs to the last number, and the CPU time that it took."""

    seconds: float
    controller_cpu_seconds: float
    api_server_cpu_seconds: float


def burst(here: Site, running: Controller, numbers: Sequence[int]) -> Burst:
    """Inserts jobs for all these pools at once; the controller must be idle. The jobs are deleted at the end."""
    api_server = here.cluster.plane.pid("kube-apiserver")
    with ScaleUps(here.cluster) as scale_ups:
        before = running.cpu_seconds, cpu_seconds(api_server)
        here.insert_for(numbers, JOBS_EACH)
        started = monotonic()
        last = scale_ups.last_of(numbers)
        after = running.cpu_seconds, cpu_seconds(api_server)
    here.clear()
    return Burst(last - started, after[0] - before[0], after[1] - before[1])


def bursts(here: Site, pools: int) -> list[Burst]:
    """One burst of all pools but the first in each round, each with pools and a controller that are new."""
    numbers = range(1, pools + 1)
    found = []
    for _ in range(ROUNDS):
        copy_pool(here.cluster, 0, numbers)
        here.cluster.await_pools(pools + 1)
        with here.controller() as running:
            running.await_quiet(samples=CALM_SAMPLES)
            found.append(burst(here, running, numbers))
    return found
