"""All figures with real pods, in one run on the cluster."""

from __future__ import annotations

from dev.bench.figures import Figure
from dev.bench.pods import burst, drain, wake
from dev.bench.pods.site import open_site


def measure(*, full: bool) -> list[Figure]:
    """Returns all figures. Without `full`, the jobs of the drain are a fifth as long."""
    with open_site() as site:
        woken = wake.measure(site)
        pools = burst.used_pools(site)
        drained = drain.measure(site, full=full)
        return [*woken, *drained, *burst.measure(site, pools)]
