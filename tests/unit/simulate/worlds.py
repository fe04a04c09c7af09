"""Traces and pools for tests, small enough to check by hand."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from hypothesis import settings

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.simulate.cluster import Cluster, Setting
from jobtide_controller.simulate.run import Options, StartTimes
from jobtide_controller.simulate.state import Worker
from jobtide_controller.simulate.trace import Job, Trace
from tests.unit.decide.builders import TEMPLATE

START_SECONDS = 5.0
few = settings(max_examples=12, deadline=None, derandomize=True, database=None)
# All workers take the same time to start, so that tests know when they are ready.
OPTIONS = Options(start=StartTimes(START_SECONDS, START_SECONDS, START_SECONDS))


def spec(**fields: Any) -> JobWorkerPoolSpec:
    chosen = {"maxReplicas": 40, **({} if "jobsPerWorker" in fields else {"maxWaitSeconds": 30}), **fields}
    return JobWorkerPoolSpec.model_validate({"types": ["job"], "template": TEMPLATE, **chosen})


def trace(jobs: Iterable[Job], **fields: Any) -> Trace:
    return Trace("test", tuple(sorted(jobs, key=lambda job: job.created_at)), **fields)


def cluster(jobs: Iterable[Job], *, workers: int = 0, **fields: Any) -> Cluster:
    """With workers that are ready at 5 s; `fields` of the trace or of the pool's spec."""
    world = {
        name: fields.pop(name)
        for name in ("failing", "failing_share", "slow_clock", "behind_seconds")
        if name in fields
    }
    policy = spec(**fields)
    setting = Setting(policy.concurrency, lambda: START_SECONDS, policy.tenants, policy.retry)
    made = Cluster(trace(jobs, **world), setting, Random(1))
    made.scale(workers, oldest_first)
    return made


def oldest_first(worker: Worker) -> tuple[float, ...]:
    return (worker.created_at, worker.number)
