"""Two thousand jobs at zero workers: until twenty workers are at work, against `kubectl scale --replicas=20`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dev.bench.figures import Figure
from dev.bench.pods.site import Claim, Site, Workers, wait_for

REPETITIONS = 3
WORKERS = 20
JOBS = 2_000
JOB_SECONDS = 5.0
GOAL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Burst:
    """Seconds from when the work was there, or the scale was asked for."""

    first_claim_seconds: float
    wanted_seconds: float
    all_claimed_seconds: float


def measure(site: Site) -> list[Figure]:
    """In turn, so that the machine's moods meet both."""
    pairs = [(_pool(site), _plain(site)) for _ in range(REPETITIONS)]
    return figures([burst for burst, _ in pairs], [burst for _, burst in pairs])


def figures(pools: Sequence[Burst], plain: Sequence[Burst]) -> list[Figure]:
    more = [pool.all_claimed_seconds - other.all_claimed_seconds for pool, other in zip(pools, plain, strict=True)]
    scaled = statistics.median(burst.all_claimed_seconds for burst in plain)
    reached = [burst.all_claimed_seconds for burst in pools]
    jobs = f"{JOBS:,} jobs of {JOB_SECONDS:g} s, {WORKERS} workers of one job each, until all have claimed"
    return [
        Figure(f"0 -> {WORKERS} workers, over `kubectl scale`", statistics.median(more), "s more", GOAL_SECONDS,
               "lower", f"{jobs}; fresh pool from the commit, plain Deployment from when its scale was written "
               f"({scaled:.2f} s), in turn, median of {len(more)}", _spread(more)),
        Figure(f"0 -> {WORKERS} workers", statistics.median(reached), "s", None, "lower",
               f"{jobs}; {WORKERS} wanted after {statistics.median(burst.wanted_seconds for burst in pools):.2f} s; "
               "KEDA: 64 s at its default poll, 55 s at 5 s", _spread(reached)),
    ]  # fmt: skip


def all_claimed_at(claims: Sequence[Claim], workers: int) -> float:
    """When the last of so many different pods made its first claim."""
    first: dict[str, float] = {}
    for claim in claims:
        first[claim.pod_uid] = min(claim.claimed_at, first.get(claim.pod_uid, claim.claimed_at))
    return sorted(first.values())[workers - 1]


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.3g} to {max(values):.3g}"


def _pool(site: Site) -> Burst:
    workers = site.pool(maxReplicas=WORKERS)
    return _filled(site, workers, site.insert(workers, [JOB_SECONDS] * JOBS))


def _plain(site: Site) -> Burst:
    workers = site.plain(maxReplicas=WORKERS)
    site.insert(workers, [JOB_SECONDS] * JOBS)
    site.scale(workers, WORKERS)
    return _filled(site, workers)


def _filled(site: Site, workers: Workers, started_at: float | None = None) -> Burst:
    """From `started_at`, or from when all workers were asked for."""
    wait_for(f"{WORKERS} workers of {workers.owner}", lambda: site.claiming_pods(workers) >= WORKERS)
    claims = site.claims(workers)
    wanted = site.deployments.first(f"{WORKERS} replicas", lambda seen: workers.is_scaled(seen, WORKERS))
    start = wanted.at if started_at is None else started_at
    site.end(workers)
    return Burst(claims[0].claimed_at - start, wanted.at - start, all_claimed_at(claims, WORKERS) - start)
