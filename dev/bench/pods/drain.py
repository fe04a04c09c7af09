"""Ten workers whose backlog ends: which are stopped in mid-job, and what remains afterwards."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from dev.bench.figures import Figure
from dev.bench.pods.site import Claim, Site, Workers, where_to_look
from dev.machine.wait import wait_until
from dev.stage.watch import Event

REPETITIONS = 3
WORKERS = 10
JOBS = 20
JOB_SECONDS = (30.0, 90.0)
SHORTER = 0.2  # factor of these lengths without --full
HELD_AFTER_SECONDS = 40.0
SEED = 20


@dataclass(frozen=True, slots=True)
class Drain:
    """One run, counted."""

    workers: int  # pods that claimed a job
    stopped: int  # pods that were stopped until then
    stopped_in_mid_job: int
    processing: int  # rows, HELD_AFTER_SECONDS after the last end
    replicas: int  # HELD_AFTER_SECONDS after the last end


def measure(site: Site, *, full: bool) -> list[Figure]:
    """Measures all repetitions at once: each pool has its own pods, which only wait."""
    scale = 1.0 if full else SHORTER
    dice = random.Random(SEED)
    lengths = [scale * dice.uniform(*JOB_SECONDS) for _ in range(JOBS)]
    pools = [site.pool(maxReplicas=WORKERS, scaleDown={"stabilizationSeconds": 0}) for _ in range(REPETITIONS)]
    for workers in pools:
        site.insert(workers, lengths)
    patience_seconds = 60 + sum(lengths)
    for workers in pools:
        wait_until(
            "the last job", partial(_ended, site, workers), within_seconds=patience_seconds, reason=where_to_look
        )
    last = max(claim.ended_at or 0.0 for workers in pools for claim in site.claims(workers))
    time.sleep(max(0.0, last + HELD_AFTER_SECONDS - time.time()))
    runs = [_counted(site, workers) for workers in pools]
    site.end(*pools)
    return figures(runs, lengths)


def figures(runs: Sequence[Drain], lengths: Sequence[float]) -> list[Figure]:
    """Returns sums over all runs, each of which must be 0. `lengths` are the seconds of the jobs."""
    how = (
        f"{len(runs)} pools of at most {WORKERS} workers, {len(lengths)} jobs of {min(lengths):.0f} to "
        f"{max(lengths):.0f} s each, stabilizationSeconds 0"
    )
    stopped = sum(run.stopped for run in runs)
    most = statistics.median(run.workers for run in runs)
    return [
        Figure("workers stopped in mid-job as the backlog ends", sum(run.stopped_in_mid_job for run in runs),
               "workers", 0, "lower", f"{how}: of {stopped} that were stopped, {most:.0f} at work a run; "
               "KEDA: 2 to 5 of 10 in every run"),
        Figure("rows left processing", sum(run.processing for run in runs), "rows", 0, "lower",
               f"{how}: {HELD_AFTER_SECONDS:.0f} s after the last end; "
               "KEDA: 3 to 4 of 20 a run where the worker dies on SIGTERM"),
        Figure("replicas held after the last job", sum(run.replicas for run in runs), "replicas", 0, "lower",
               f"{how}: {HELD_AFTER_SECONDS:.0f} s after it; one stays warm for 30 s; "
               "KEDA: 3 to 4 a run without end, one for each row left"),
    ]  # fmt: skip


def stopped_at(events: Sequence[Event], workers: Workers) -> Mapping[str, float]:
    """UID of each pod that was stopped -> time of the first event that shows it."""
    moments: dict[str, float] = {}
    for event in events:
        metadata = event.object["metadata"]
        if workers.is_pod(event) and "deletionTimestamp" in metadata:
            moments.setdefault(metadata["uid"], event.at)
    return moments


def in_mid_job(stopped: Mapping[str, float], claims: Sequence[Claim]) -> set[str]:
    """UIDs of pods that ran a job when they were stopped."""
    return {
        claim.pod_uid
        for claim in claims
        if claim.pod_uid in stopped
        and claim.claimed_at < stopped[claim.pod_uid]
        and (claim.ended_at is None or claim.ended_at > stopped[claim.pod_uid])
    }


def _ended(site: Site, workers: Workers) -> bool:
    return site.jobs(workers, "completed") + site.jobs(workers, "failed") == JOBS


def _counted(site: Site, workers: Workers) -> Drain:
    claims, stopped = site.claims(workers), stopped_at(site.pods.events, workers)
    return Drain(
        workers=len({claim.pod_uid for claim in claims}),
        stopped=len(stopped),
        stopped_in_mid_job=len(in_mid_job(stopped, claims)),
        processing=site.jobs(workers, "processing"),
        replicas=site.replicas(workers),
    )
