"""The queues that are compared, each at its best documented settings."""

from __future__ import annotations

from dev.bench.peers.contender import Contender
from dev.bench.peers.environments import go, node, peers_python, this_python

JOBTIDE = Contender(
    "Jobtide", "concurrency 4, prefetch 496, 20 tenants", "jobtide", this_python, 40_000,
    "SELECT EXISTS (SELECT FROM job_queue WHERE status IN ('pending', 'processing'))",
)  # fmt: skip
PEERS = (
    Contender(
        "River 0.51.2", "Go, 2,000 workers, fetch cooldown 2 ms", "river", go, 50_000,
        "SELECT EXISTS (SELECT FROM river_job WHERE state IN ('available', 'running'))",
    ),
    Contender(
        "Graphile Worker 0.17.3", "Node.js, local queue 500, batched completion", "graphile", node, 40_000,
        "SELECT EXISTS (SELECT FROM graphile_worker._private_jobs)",
    ),
    Contender(
        "PgQueuer 1.6.0", "asyncpg, uvloop, batch 500", "pgqueuer", peers_python, 30_000,
        "SELECT EXISTS (SELECT FROM pgqueuer)",
    ),
    # The view awa.jobs takes seconds to read, so the ended jobs are counted.
    Contender(
        "awa 0.6.9", "Rust core, 256 workers", "awa", peers_python, 10_000,
        "SELECT coalesce(sum(completed_count), 0) < %(jobs)s FROM awa.receipt_completion_batches",
    ),
    Contender(
        "procrastinate 3.10.0", "concurrency 30", "procrastinate", peers_python, 800,
        "SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))",
    ),
)  # fmt: skip
