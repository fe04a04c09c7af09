"""`python -m jobtide_controller simulate`: compares promises before one is applied."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobtide.database_errors import DatabaseUrlWrong, checked_url, url_of_file
from jobtide.printable import printable, printable_lines
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.simulate import benchmark, csvfile, past, plot, policy, table, unseen
from jobtide_controller.simulate.arguments import parser
from jobtide_controller.simulate.csvfile import TraceError
from jobtide_controller.simulate.keda import Keda, KedaSettings
from jobtide_controller.simulate.policy import PolicyError
from jobtide_controller.simulate.run import Options, Outcome, StartTimes, TypeOutcome, bound, run
from jobtide_controller.simulate.scalers import Jobtide, Scaler
from jobtide_controller.simulate.trace import Trace
from jobtide_controller.simulate.traces import MEANING, built_in

QUICK_POLLING_SECONDS, QUICK_STABILIZATION_SECONDS = 5.0, 60.0
MAX_REPLICAS = 40  # for a built-in trace, unless a flag is given
MAX_WAIT_SECONDS = 30


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit code: 0, or 2 if the pool or the trace can't be read."""
    flags = parser().parse_args(arguments)
    options = Options(flags.tick_seconds, StartTimes.around(flags.start_seconds), flags.seed)
    try:
        if flags.all:
            _print(benchmark.table(options))
            return 0
        if flags.unseen:
            _print(unseen.table(options))
            return 0
        given, pool = _given(flags)
        outcomes = [run(given, judged, scaler, options) for judged, scaler in _scalers(flags, pool)]
        if flags.plot:
            _write(flags.plot, plot.svg(_title(given, flags), given, outcomes))
    except (PolicyError, TraceError) as error:
        print(f"simulate: {printable_lines(str(error))}", file=sys.stderr)  # noqa: T201 - it is a command
        return 2
    _print(
        _as_json(outcomes)
        if flags.json
        else _as_text(_head(given, pool, outcomes, flags), outcomes, bound(given, pool, options))
    )
    return 0


def _write(path: Path, svg: str) -> None:
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise TraceError(f"can't write the plot {path}: {error.strerror}") from error


def _given(flags: Namespace) -> tuple[Trace, JobWorkerPoolSpec]:
    """The trace and the pool: the pool's types select jobs, the trace's types complete the pool."""
    spec = {} if flags.pool is None else policy.of_file(flags.pool, flags.pool_name)
    types: Sequence[str] | None = spec.get("types")
    if flags.from_table is not None:
        jobs = past.read(_url(flags.from_table), flags.days, types)
        pool = policy.build(spec, types or sorted({job.type for job in jobs}), flags)
        slots = flags.measured_concurrency or pool.concurrency
        return past.trace(jobs, slots=slots, known=dict(flags.service_seconds)), pool
    if flags.csv is not None:
        given = csvfile.read(flags.csv)
        if types is not None:
            given = _of_types(given, types)
        return given, policy.build(spec, given.types, flags)
    given = built_in(flags.trace, flags.seed)
    promises = {type_: one for type_, one in (spec.get("promises") or {}).items() if type_ in given.types}
    spec = {**spec, "promises": promises}
    usual: dict[str, Any] = {"maxReplicas": MAX_REPLICAS, "tenants": given.tenants.as_object()}
    if flags.jobs_per_worker is None:
        usual["maxWaitSeconds"] = MAX_WAIT_SECONDS
    return given, policy.build({**usual, **spec, "types": list(given.types)}, given.types, flags)


def _of_types(trace: Trace, types: Sequence[str]) -> Trace:
    jobs = tuple(job for job in trace.jobs if job.type in types)
    if not jobs:
        raise TraceError(
            f"the trace {trace.name} has no job of the pool's types {', '.join(types)}: it has {', '.join(trace.types)}"
        )
    return replace(trace, jobs=jobs)


def _scalers(flags: Namespace, pool: JobWorkerPoolSpec) -> list[tuple[JobWorkerPoolSpec, Scaler]]:
    """Each scaler with the pool whose promise defines what is late."""
    promises = [policy.promising(pool, seconds) for seconds in flags.promises]
    distinct = {(each.wait_seconds, each.jobs_per_worker, bool(each.promises)): each for each in (pool, *promises)}
    ours: list[tuple[JobWorkerPoolSpec, Scaler]] = [
        (each, Jobtide(each)) for each in sorted(distinct.values(), key=lambda each: each.wait_seconds)
    ]
    return [*ours, *((pool, Keda(settings, pool)) for settings in _keda(flags, pool))]


def _keda(flags: Namespace, pool: JobWorkerPoolSpec) -> list[KedaSettings]:
    """KEDA's defaults, and the settings of the flags, or a quick setting if no flag is given."""
    defaults = KedaSettings(flags.keda_target or float(pool.concurrency))
    flagged = {
        "polling_seconds": flags.keda_polling_seconds,
        "cooldown_seconds": flags.keda_cooldown_seconds,
        "stabilization_seconds": flags.keda_stabilization_seconds,
    }
    chosen = {name: value for name, value in flagged.items() if value is not None}
    quick = {"polling_seconds": QUICK_POLLING_SECONDS, "stabilization_seconds": QUICK_STABILIZATION_SECONDS}
    own = replace(defaults, **(chosen or quick))
    return list(dict.fromkeys((defaults, own)))


def _url(text: str) -> str:
    """Other users of the machine can see a URL on the command line in the process list, but not one in a file."""
    try:
        return url_of_file(Path(text[1:]), text[1:]) if text.startswith("@") else checked_url(text, "the argument")
    except (DatabaseUrlWrong, OSError) as wrong:
        raise TraceError(f"--from-table: {wrong}") from None


def _as_text(head: str, outcomes: Sequence[Outcome], bound_seconds: float) -> str:
    notes = [f"{one.name}: {one.unfinished:,} jobs did not finish" for one in outcomes if one.unfinished]
    types = table.types(outcomes)
    return "\n".join([head, "", table.text(outcomes, bound_seconds), *(["", types] if types else []), *notes])


def _head(trace: Trace, pool: JobWorkerPoolSpec, outcomes: Sequence[Outcome], flags: Namespace) -> str:
    return f"{_title(trace, flags)}\n{_pool_text(pool)}{_compared(pool, outcomes)}"


def _title(trace: Trace, flags: Namespace) -> str:
    work = sum(job.service_seconds for job in trace.jobs)
    meaning = "" if flags.trace is None else f" ({MEANING[flags.trace]})"
    jobs = len(trace.jobs)
    return (
        f"{printable(trace.name)}{meaning}: {jobs:,} jobs in {trace.seconds:,.0f} s, {work / max(1, jobs):.3g} s a job"
    )


def _compared(pool: JobWorkerPoolSpec, outcomes: Sequence[Outcome]) -> str:
    own = set() if pool.promises else {float(pool.wait_seconds)}
    others = sorted({one.promise_seconds for one in outcomes if not one.types} - own)
    if not others:
        return ""
    seconds = " and ".join(f"{one:g} s" for one in others)
    if pool.promises:
        return f"\ncompared with {seconds} for all types: such a line is late by that, the others by type"
    return f"\ncompared with {seconds}: each line is late by its own promise, KEDA's by {pool.wait_seconds} s"


def _pool_text(pool: JobWorkerPoolSpec) -> str:
    law = f"{pool.jobs_per_worker} jobs a worker" if pool.jobs_per_worker else f"promise {pool.wait_seconds} s"
    if pool.promises:
        law = ", ".join(f"{printable(type_)} {pool.promise_of(type_)} s" for type_ in pool.types)
        law = f"promises {law}"
    workers = f"{pool.min_replicas} to {pool.max_replicas} workers of {pool.concurrency} jobs at once"
    return f"{law}, {workers}{_windows_text(pool)}"


def _windows_text(pool: JobWorkerPoolSpec) -> str:
    names = ", ".join(schedule.name for schedule in pool.schedules)
    return f"; windows by the clock: {names}; KEDA has none" if names else ""


def _as_json(outcomes: Sequence[Outcome]) -> str:
    return json.dumps([_figures(outcome) for outcome in outcomes], indent=2)


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "attempts": len(outcome.waits),
        "lateShare": round(outcome.late_share, 6),
        "waitSeconds": {label: round(outcome.wait(share), 3) for label, share in _SHARES.items()},
        "workersMax": outcome.workers_max,
        "workerSeconds": round(outcome.worker_seconds, 1),
        "boundSeconds": round(outcome.bound_seconds, 1),
        "busyStopped": outcome.busy_stopped,
        "changes": outcome.changes,
        "unfinished": outcome.unfinished,
        **({"types": [_figures_of_type(one) for one in outcome.types]} if outcome.types else {}),
    }


def _figures_of_type(one: TypeOutcome) -> dict[str, Any]:
    return {
        "type": one.type,
        "promiseSeconds": one.promise_seconds,
        "attempts": len(one.waits),
        "lateShare": round(one.late_share, 6),
        "waitSeconds": {label: round(one.wait(share), 3) for label, share in _SHARES.items()},
    }


_SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def _print(text: str) -> None:
    print(text)  # noqa: T201 - it is a command
