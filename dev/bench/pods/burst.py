"""2,000 jobs at zero workers: the time until 20 workers have claimed, against `kubectl scale --replicas=20`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from dev.bench.figures import Figure, spread
from dev.bench.pods.site import Claim, Site, Workers, where_to_look
from dev.machine.wait import wait_until

REPETITIONS = 3
WORKERS = 20
JOBS = 2_000
JOB_SECONDS = 5.0
FIRST_JOBS = 3  # jobs after which a pool knows how long they last
GOAL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Burst:
    """Seconds from the commit of the jobs, or from the write of the scale."""

    scaled_seconds: float
    all_claimed_seconds: float


def used_pools(site: Site) -> list[Workers]:
    """A pool for each repetition that has already run jobs. They scale to zero while other figures are measured."""
    pools = [site.pool(maxReplicas=WORKERS, scaleDown={"stabilizationSeconds": 0}) for _ in range(REPETITIONS)]
    for workers in pools:
        site.insert(workers, [JOB_SECONDS] * FIRST_JOBS)
    return pools


def measure(site: Site, pools: Sequence[Workers]) -> list[Figure]:
    """Measures used pools, new pools and plain Deployments in alternation: other load affects all three."""
    for workers in pools:
        wait_until(f"{workers.owner} without jobs and workers", partial(site.is_idle, workers), reason=where_to_look)
    known, unknown, plain = [], [], []
    for workers in pools:
        known.append(_pool(site, workers))
        plain.append(_plain(site))
        unknown.append(_pool(site, site.pool(maxReplicas=WORKERS)))
    return figures(known, unknown, plain)


def figures(known: Sequence[Burst], unknown: Sequence[Burst], plain: Sequence[Burst]) -> list[Figure]:
    """Returns the figures; the three lists have one burst for each repetition, in the same order."""
    reached = [burst.all_claimed_seconds for burst in known]
    jobs = f"{JOBS:,} jobs of {JOB_SECONDS:g} s, {WORKERS} workers of one job each, until all have claimed"
    return [
        _more(f"0 -> {WORKERS} workers, over `kubectl scale`", known, plain, f"{jobs}; pool that has worked before"),
        _more(f"0 -> {WORKERS} workers, jobs never seen before, over `kubectl scale`", unknown, plain,
              f"{jobs}; new pool, which starts with {max(4, WORKERS // 4)}"),
        Figure(f"0 -> {WORKERS} workers", statistics.median(reached), "s", None, "lower",
               f"{jobs}; KEDA: 64 s at its default poll, 55 s at 5 s", spread(reached)),
    ]  # fmt: skip


def all_claimed_at(claims: Sequence[Claim], workers: int) -> float:
    """When the last of `workers` different pods made its first claim."""
    first: dict[str, float] = {}
    for claim in claims:
        first[claim.pod_uid] = min(claim.claimed_at, first.get(claim.pod_uid, claim.claimed_at))
    return sorted(first.values())[workers - 1]


def _more(name: str, pools: Sequence[Burst], plain: Sequence[Burst], how: str) -> Figure:
    more = [pool.all_claimed_seconds - other.all_claimed_seconds for pool, other in zip(pools, plain, strict=True)]
    decided = statistics.median(burst.scaled_seconds for burst in pools)
    plain_seconds = statistics.median(burst.all_claimed_seconds for burst in plain)
    words = (
        f"{how}, from the commit ({WORKERS} replicas after {decided:.2f} s); plain Deployment of the same pods from "
        f"when its scale was written ({plain_seconds:.2f} s); alternating, median of {len(more)}"
    )
    return Figure(name, statistics.median(more), "s more", GOAL_SECONDS, "lower", words, spread(more))


def _pool(site: Site, workers: Workers) -> Burst:
    site.forget(workers)
    return _filled(site, workers, site.insert(workers, [JOB_SECONDS] * JOBS))


def _plain(site: Site) -> Burst:
    workers = site.plain(maxReplicas=WORKERS)
    site.insert(workers, [JOB_SECONDS] * JOBS)
    site.scale(workers, WORKERS)
    return _filled(site, workers)


def _filled(site: Site, workers: Workers, started_at: float | None = None) -> Burst:
    """Measured from `started_at`, or from the write of the scale."""
    wait_until(
        f"{WORKERS} workers of {workers.owner}", lambda: site.claiming_pods(workers) >= WORKERS, reason=where_to_look
    )
    claims = site.claims(workers)
    scaled = site.deployments.first(f"{WORKERS} replicas", lambda seen: workers.is_scaled(seen, WORKERS))
    start = scaled.at if started_at is None else started_at
    site.end(workers)
    return Burst(scaled.at - start, all_claimed_at(claims, WORKERS) - start)
