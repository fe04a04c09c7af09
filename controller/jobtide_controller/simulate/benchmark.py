"""Runs all built-in traces with all scaling algorithms: the table of docs/simulate.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from jobtide.commands.table import aligned
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec, ScaleDown, Tenants
from jobtide_controller.simulate.keda import Keda, KedaSettings
from jobtide_controller.simulate.policy import TEMPLATE
from jobtide_controller.simulate.run import Options, Outcome, run
from jobtide_controller.simulate.scalers import Jobtide, Scaler
from jobtide_controller.simulate.table import cell, multiple
from jobtide_controller.simulate.trace import Trace
from jobtide_controller.simulate.traces import MEANING, built_in, names

MAX_WAIT_SECONDS, MAX_REPLICAS, CONCURRENCY = 30, 40, 4
SIMPLE_JOBS_PER_WORKER, SIMPLE_HOLD_SECONDS = 40, 10
HINDSIGHT_TARGETS = (1.0, 4.0, 16.0, 40.0, 100.0, 400.0)
HINDSIGHT_HOLDS = (0.0, 60.0)

Law = Callable[[JobWorkerPoolSpec], Scaler]

_QUICK = {"polling_seconds": 5.0, "stabilization_seconds": 60.0}

LAWS: dict[str, Law] = {
    "KEDA default 4": partial(Keda, KedaSettings(4)),
    "KEDA default 40": partial(Keda, KedaSettings(40)),
    "KEDA quick 4": partial(Keda, KedaSettings(4, **_QUICK)),
    "KEDA quick 40": partial(Keda, KedaSettings(40, **_QUICK)),
}


def pool_of(trace: Trace) -> JobWorkerPoolSpec:
    """Returns the pool of the table: promise 30 s, at most 40 workers of 4 jobs, with the trace's limits of tenants."""
    return JobWorkerPoolSpec.model_validate(
        {
            "types": list(trace.types),
            "template": TEMPLATE,
            "maxWaitSeconds": MAX_WAIT_SECONDS,
            "maxReplicas": MAX_REPLICAS,
            "concurrency": CONCURRENCY,
            "tenants": Tenants.as_object(trace.tenants),
        }
    )


def table(options: Options) -> str:
    """Share of late jobs, p99 of the waits, cost as a multiple of the bound; one line per trace."""
    everything = [_line(name, options) for name in names()]
    head = ["trace", *LAWS, "KEDA in hindsight", f"jobsPerWorker {SIMPLE_JOBS_PER_WORKER}", "Jobtide"]
    rows = [head, *([MEANING[name], *map(cell, outcomes)] for name, outcomes in zip(names(), everything, strict=True))]
    columns = list(zip(*everything, strict=True))
    rows.append(["all: worker-seconds / bound", *(multiple(_total_cost(column)) for column in columns)])
    rows.append(["all: geometric mean of the costs", *(multiple(_mean_cost(column)) for column in columns)])
    rows.append(["all: busy stopped / changes", *map(_churn, columns)])
    return "\n".join(aligned(rows))


def _line(name: str, options: Options) -> list[Outcome]:
    trace = built_in(name, options.seed)
    pool = pool_of(trace)
    outcomes = [run(trace, pool, law(pool), options) for law in LAWS.values()]
    return [
        *outcomes,
        _in_hindsight(trace, pool, options),
        run(trace, pool, _simple(pool), options),
        run(trace, pool, Jobtide(pool), options),
    ]


def _in_hindsight(trace: Trace, pool: JobWorkerPoolSpec, options: Options) -> Outcome:
    """The best setting in hindsight: the fewest late jobs, then the lowest cost."""
    tried = [
        run(trace, pool, Keda(KedaSettings(target, polling_seconds=5.0, stabilization_seconds=seconds), pool), options)
        for target in HINDSIGHT_TARGETS
        for seconds in HINDSIGHT_HOLDS
    ]
    return min(tried, key=lambda outcome: (round(outcome.late_share, 3), outcome.worker_seconds))


def _simple(pool: JobWorkerPoolSpec) -> Scaler:
    """The same controller with jobsPerWorker instead of a promise."""
    return Jobtide(
        pool.model_copy(
            update={
                "max_wait_seconds": None,
                "jobs_per_worker": SIMPLE_JOBS_PER_WORKER,
                "scale_down": ScaleDown(stabilization_seconds=SIMPLE_HOLD_SECONDS),
            }
        )
    )


def _total_cost(outcomes: Sequence[Outcome]) -> float:
    return sum(outcome.worker_seconds for outcome in outcomes) / sum(outcome.bound_seconds for outcome in outcomes)


def _mean_cost(outcomes: Sequence[Outcome]) -> float:
    return math.exp(sum(math.log(outcome.cost) for outcome in outcomes) / len(outcomes))


def _churn(outcomes: Sequence[Outcome]) -> str:
    return f"{sum(outcome.busy_stopped for outcome in outcomes)} / {sum(outcome.changes for outcome in outcomes)}"
