"""Twenty-two traces that the law's constants were not chosen on, each with its own pool: `simulate --unseen`.

They have what the seventeen lack: slow starts of pods, crons, partial failures, jobs that change, rows beyond the
count, heavy tails, a worker with one slot, a clock that is set back, bursts that fit one worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import geometric_mean
from typing import Any

from jobtide.commands.table import aligned
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.simulate.policy import TEMPLATE
from jobtide_controller.simulate.run import Options, Outcome, StartTimes, run
from jobtide_controller.simulate.scalers import Jobtide
from jobtide_controller.simulate.table import multiple, percent, seconds_text
from jobtide_controller.simulate.trace import Job, Span, Trace
from jobtide_controller.simulate.traces import Length, burst, flow

USUAL = {"maxWaitSeconds": 30, "maxReplicas": 40, "concurrency": 4}
SLOW = StartTimes(100.0, 60.0, 180.0)


@dataclass(frozen=True)
class Case:
    """One trace, and what its pool has other than USUAL."""

    meaning: str
    make: Callable[[Random], Sequence[Job]]
    pool: Mapping[str, Any] = field(default_factory=dict)
    start: StartTimes | None = None  # None: as in the options
    world: Mapping[str, Any] = field(default_factory=dict)  # of the Trace: failures, clocks


def names() -> tuple[str, ...]:
    """The names, in the order of the table."""
    return tuple(_CASES)


def outcome(name: str, options: Options) -> Outcome:
    """What the law achieves over this trace, made from the options' seed."""
    case = _CASES[name]
    chance = Random(f"{name} {options.seed}")  # noqa: S311 - repeatable on purpose
    jobs = tuple(sorted(case.make(chance), key=lambda job: job.created_at))
    trace = Trace(name, jobs, **case.world)
    pool = JobWorkerPoolSpec.model_validate({"types": list(trace.types), "template": TEMPLATE, **USUAL, **case.pool})
    return run(trace, pool, Jobtide(pool), options if case.start is None else replace(options, start=case.start))


def table(options: Options) -> str:
    """One line per trace: late jobs, waits, the most workers, the cost as a multiple of the bound, changes."""
    outcomes = [outcome(name, options) for name in names()]
    rows = [["trace", "late", "p99", "workers max", "of bound", "busy stopped", "changes"]]
    rows += [[_CASES[name].meaning, *_row(one)] for name, one in zip(names(), outcomes, strict=True)]
    stopped, changes = sum(one.busy_stopped for one in outcomes), sum(one.changes for one in outcomes)
    mean = geometric_mean([one.cost for one in outcomes])
    rows.append(["all, costs as their geometric mean", "", "", "", multiple(mean), str(stopped), str(changes)])
    return "\n".join(aligned(rows))


def _row(one: Outcome) -> list[str]:
    return [
        percent(one.late_share),
        seconds_text(one.wait(0.99)),
        str(one.workers_max),
        multiple(one.cost),
        str(one.busy_stopped),
        str(one.changes),
    ]


def _every(seconds: float, until: float, jobs: Callable[[float], Sequence[Job]]) -> list[Job]:
    """Jobs of a cron: `jobs` gives those of one run."""
    return [job for number in range(int(until / seconds)) for job in jobs(47.0 + number * seconds)]


def _constant(seconds: float) -> Length:
    return lambda: seconds


def _steady(rate: float, seconds: float, until: float) -> Callable[[Random], list[Job]]:
    return lambda chance: flow(chance, rate, 0.0, until, _constant(seconds))


def _waves(rate: float, on_seconds: float, every_seconds: float) -> Callable[[Random], list[Job]]:
    def make(chance: Random) -> list[Job]:
        return _every(every_seconds, 1_800.0, lambda at: flow(chance, rate, at, at + on_seconds, _constant(1.0)))

    return make


def _changing(*parts: tuple[float, float, float]) -> Callable[[Random], list[Job]]:
    """Parts of (seconds, rate, length of a job), one after the other."""

    def make(chance: Random) -> list[Job]:
        jobs: list[Job] = []
        at = 0.0
        for seconds, rate, length in parts:
            jobs += flow(chance, rate, at, at + seconds, _constant(length))
            at += seconds
        return jobs

    return make


def _pareto(chance: Random) -> list[Job]:
    """Mean 2 s, cut at 600 s: 1/3 s * 1.2 / 0.2."""
    return flow(chance, 4.0, 0.0, 900.0, lambda: min(600.0, chance.paretovariate(1.2) / 3.0))


def _bimodal(chance: Random) -> list[Job]:
    return flow(chance, 3.0, 0.0, 1_200.0, lambda: 20.0 if chance.random() < 0.1 else 0.5)  # noqa: PLR2004 - a tenth


def _bulk(count: int, seconds: float) -> Callable[[Random], list[Job]]:
    """Jobs of 0.2 s for ten minutes, which the law learns, then many long ones of one tenant and that type."""
    return lambda chance: flow(chance, 5.0, 0.0, 600.0, _constant(0.2)) + [Job(630.0, seconds)] * count


def _crowd(chance: Random) -> list[Job]:
    """A day in an hour, with a crowd for two minutes."""
    usual = _changing(*((60.0, 1.0 + 9.0 * abs(30 - minute) / 30, 0.5) for minute in range(60)))(chance)
    return usual + flow(chance, 60.0, 1_800.0, 1_920.0, _constant(0.5))


def _many_types(chance: Random) -> list[Job]:
    """Twenty types, each with its own length, 0.1 to 12.8 s."""
    return [
        job
        for number in range(20)
        for job in flow(chance, 0.3, 0.0, 900.0, _constant(0.1 * 2.0 ** (number % 8)), type_=f"type{number}")
    ]


_CASES: dict[str, Case] = {
    "slow-start": Case("8/s of 1 s, pods start in 60 to 180 s", _steady(8.0, 1.0, 1_800.0), start=SLOW),
    "slow-start-300": Case(
        "the same with a promise of 300 s", _steady(8.0, 1.0, 1_800.0), {"maxWaitSeconds": 300}, SLOW
    ),
    "slow-waves-300": Case(
        "20/s of 1 s, 20 s in 120 s, the same pods and promise",
        _waves(20.0, 20.0, 120.0),
        {"maxWaitSeconds": 300},
        SLOW,
    ),
    "cron": Case("400 of 2 s every 5 minutes", lambda _: _every(300.0, 1_800.0, lambda at: burst(400, 2.0, at))),
    "small-bursts": Case(
        "12 of 0.5 s every 2 minutes", lambda _: _every(120.0, 1_800.0, lambda at: burst(12, 0.5, at))
    ),
    "square": Case("20/s of 1 s, 60 s in 300 s", _waves(20.0, 60.0, 300.0)),
    "long-trickle": Case("3 a minute of 5 s for an hour", _steady(0.05, 5.0, 3_600.0)),
    "partial-failures": Case(
        "0.3/s of 20 s, 80 % of the attempts fail",
        _steady(0.3, 20.0, 1_200.0),
        world={"failing": (Span(0.0, 1e9),), "failing_share": 0.8},
    ),
    "half-fail": Case(
        "1/s of 5 s, half of the attempts fail",
        _steady(1.0, 5.0, 1_200.0),
        world={"failing": (Span(0.0, 1e9),), "failing_share": 0.5},
    ),
    "retry-storm": Case(
        "20/s of 0.5 s, all fail for 60 s", _steady(20.0, 0.5, 900.0), world={"failing": (Span(300.0, 360.0),)}
    ),
    "slower": Case("5/s: of 0.2 s for ten minutes, then of 10 s", _changing((600.0, 5.0, 0.2), (900.0, 5.0, 10.0))),
    "faster": Case("2/s: of 10 s for ten minutes, then of 0.2 s", _changing((600.0, 2.0, 10.0), (900.0, 2.0, 0.2))),
    "regimes": Case(
        "2/s of 1 s, 12/s of 3 s, 4/s of 0.5 s", _changing((400.0, 2.0, 1.0), (400.0, 12.0, 3.0), (400.0, 4.0, 0.5))
    ),
    "bulk": Case(
        "30,000 of 20 s at once after jobs of 0.2 s, promise 3,600 s, max 200",
        _bulk(30_000, 20.0),
        {"maxWaitSeconds": 3_600, "maxReplicas": 200},
    ),
    "bulk-longer": Case(
        "20,000 of 60 s, the same, promise 7,200 s",
        _bulk(20_000, 60.0),
        {"maxWaitSeconds": 7_200, "maxReplicas": 200},
    ),
    "bulk-many": Case(
        "300,000 of 1 s, the same, promise 3,600 s",
        _bulk(300_000, 1.0),
        {"maxWaitSeconds": 3_600, "maxReplicas": 200},
    ),
    "pareto-1.2": Case("4/s, Pareto 1.2, mean 2 s", _pareto),
    "bimodal": Case("3/s, a tenth of 20 s, others of 0.5 s", _bimodal),
    "one-slot": Case("24 slots' load of 17 s jobs, concurrency 1", _steady(24 / 17, 17.0, 3_600.0), {"concurrency": 1}),
    "clock-back": Case(
        "4/s of 2 s, the database's clock is 50 s behind for five minutes",
        _steady(4.0, 2.0, 900.0),
        world={"slow_clock": (Span(400.0, 700.0),), "behind_seconds": 50.0},
    ),
    "crowd": Case("1 to 10/s of 0.5 s, and 60/s for two minutes", _crowd),
    "many-types": Case("20 types of 0.1 to 12.8 s, 0.3/s each", _many_types),
}
