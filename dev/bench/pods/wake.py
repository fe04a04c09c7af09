"""One job at zero workers: the time until the controller notices it, and until a worker has it."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dev.bench.figures import Figure, spread
from dev.bench.pods.site import Site, Workers, where_to_look
from dev.machine.text import percentile
from dev.machine.wait import wait_until

REPETITIONS = 20
TWINS = 10
GOAL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Wake:
    """Times of one job until its claim. Those of the cluster are when an event of the watch arrived."""

    inserted_at: float
    scaled_at: float  # replicas is 1
    pod_at: float  # its pod exists
    claimed_at: float

    @property
    def decision_seconds(self) -> float:
        return self.scaled_at - self.inserted_at

    @property
    def pod_seconds(self) -> float:
        return self.pod_at - self.inserted_at

    @property
    def claim_seconds(self) -> float:
        return self.claimed_at - self.inserted_at

    @property
    def start_seconds(self) -> float:
        """What the pod itself takes, the same for a pool and for a plain Deployment."""
        return self.claimed_at - self.pod_at


def measure(site: Site) -> list[Figure]:
    """Measures pools and plain Deployments in alternation, so that other load on the machine affects both."""
    _plain(site)  # the first pod of an image is slower
    pools, plain = [], []
    for _ in range(TWINS):
        pools += [_pool(site) for _ in range(REPETITIONS // TWINS)]
        plain.append(_plain(site))
    return figures(pools, plain)


def figures(pools: Sequence[Wake], plain: Sequence[Wake]) -> list[Figure]:
    """Returns the figures. `plain` are the same pods in a Deployment that was scaled by hand."""
    runs = f"{len(pools)} new pools with no worker, one job each at a random moment"
    keda = "KEDA, median: 20.4 s at its default poll of 30 s, 3.3 s at 5 s, 0.61 s at 1 s"
    start = statistics.median(wake.start_seconds for wake in plain)
    claim = statistics.median(wake.claim_seconds for wake in pools)
    return [
        _high("insert at zero workers to the decision, p95", [wake.decision_seconds for wake in pools],
              f"{runs}: replicas written, as a watch sees it"),
        _high("insert at zero workers to the claim less the pod's own start, p95", [wake.pod_seconds for wake in pools],
              f"{runs}: until the pod exists; {keda}"),
        Figure("insert at zero workers to the claim, median", claim, "s", None, "lower",
               f"{runs}; KEDA: 21.2 s at its default, 4.0 s at 5 s, 1.3 s at 1 s",
               spread([wake.claim_seconds for wake in pools])),
        Figure("a pool's pod from being there to its first claim, of a plain Deployment's",
               statistics.median(wake.start_seconds for wake in pools) / start, "x", None, "lower",
               f"medians of {len(pools)} and {len(plain)}, the same pod with a job waiting; plain: {start:.2f} s",
               spread([wake.start_seconds / start for wake in pools])),
    ]  # fmt: skip


def _high(name: str, seconds: Sequence[float], how: str) -> Figure:
    value = percentile(seconds, 95)
    assert value is not None
    median = statistics.median(seconds)
    return Figure(name, value, "s", GOAL_SECONDS, "lower", f"{how}; median {median:.3f} s", spread(seconds))


def _pool(site: Site) -> Wake:
    workers = site.pool(maxReplicas=1)
    time.sleep(random.uniform(0.5, 1.5))  # anywhere between two readings
    site.insert(workers, [0])
    return _woken(site, workers)


def _plain(site: Site) -> Wake:
    workers = site.plain(maxReplicas=1)
    site.insert(workers, [0])
    site.scale(workers, 1)
    return _woken(site, workers)


def _woken(site: Site, workers: Workers) -> Wake:
    wait_until(f"the job of {workers.owner}", lambda: site.jobs(workers, "completed") == 1, reason=where_to_look)
    (claim,) = site.claims(workers)
    scaled = site.deployments.first("one replica", lambda seen: workers.is_scaled(seen, 1))
    pod = site.pods.first("its pod", workers.is_pod)
    site.end(workers)
    return Wake(claim.inserted_at, scaled.at, pod.at, claim.claimed_at)
