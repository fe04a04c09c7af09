"""Seventeen traces in which scaling algorithms differ, by name, each from a seed: the table of docs/simulate.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from random import Random

from jobtide_controller.api.v1alpha1 import Tenants
from jobtide_controller.simulate.trace import Job, Span, Trace

Make = Callable[[Random], Trace]
Length = Callable[[], float]
PERIOD_SECONDS = 900.0
NOISY_TENANT = "00000000-0000-4000-8000-000000000001"  # a pool names tenants by UUID


def names() -> tuple[str, ...]:
    """Returns the names of the built-in traces, in the order of the table."""
    return tuple(_TRACES)


def built_in(name: str, seed: int) -> Trace:
    """Returns this trace, the same for the same seed. Raises KeyError for a name that is not in `names`."""
    return _TRACES[name](Random(f"{name} {seed}"))  # noqa: S311 - repeatable on purpose


def flow(chance: Random, rate: float, start: float, end: float, length: Length, *, type_: str = "job") -> list[Job]:
    """Jobs at random times, `rate` per second on average."""
    jobs: list[Job] = []
    at = start + chance.expovariate(rate)
    while at < end:
        jobs.append(Job(at, length(), type_, f"t{chance.randrange(5)}"))
        at += chance.expovariate(rate)
    return jobs


def burst(count: int, length: float, at: float = 47.0) -> list[Job]:
    """All at once, at a moment that matches no scaler's timer."""
    return [Job(at, length, tenant_id=f"t{number % 5}") for number in range(count)]


def _fixed(seconds: float) -> Length:
    return lambda: seconds


def _trace(name: str, jobs: Iterable[Job]) -> Trace:
    return Trace(name, tuple(sorted(jobs, key=lambda job: job.created_at)))


def _steady(chance: Random) -> Trace:
    return _trace("steady", flow(chance, 8.0, 0.0, PERIOD_SECONDS, _fixed(1.0)))


def _step(chance: Random) -> Trace:
    before = flow(chance, 1.0, 0.0, 300.0, _fixed(1.0))
    return _trace("step", before + flow(chance, 30.0, 300.0, PERIOD_SECONDS, _fixed(1.0)))


def _burst_tiny(_: Random) -> Trace:
    return _trace("burst-tiny", burst(10_000, 0.01))


def _burst_short(_: Random) -> Trace:
    return _trace("burst-short", burst(3_000, 1.0))


def _burst_long(_: Random) -> Trace:
    return _trace("burst-long", burst(100, 60.0))


def _waves(chance: Random, name: str, on_seconds: float, every_seconds: float) -> Trace:
    starts = [number * every_seconds for number in range(int(PERIOD_SECONDS / every_seconds))]
    return _trace(name, [job for start in starts for job in flow(chance, 20.0, start, start + on_seconds, _fixed(1.0))])


def _slow_waves(chance: Random) -> Trace:
    return _waves(chance, "waves-slow", 20.0, 120.0)


def _fast_waves(chance: Random) -> Trace:
    return _waves(chance, "waves-fast", 10.0, 20.0)


def _diurnal(chance: Random) -> Trace:
    """A day in an hour: from 0 to 30 a second and back, each minute up to 40 % off the curve."""
    jobs: list[Job] = []
    for minute in range(60):
        curve = 15.0 * (1.0 - math.cos(2.0 * math.pi * (minute + 0.5) / 60.0))
        rate = max(0.01, curve * (1.0 + 0.4 * (2.0 * chance.random() - 1.0)))
        jobs += flow(chance, rate, minute * 60.0, minute * 60.0 + 60.0, _fixed(0.5))
    return _trace("diurnal", jobs)


def _lognormal(chance: Random) -> Trace:
    """Mean 2 s: exp(mu + sigma^2 / 2) with sigma 1."""
    mu = math.log(2.0) - 0.5
    return _trace("lognormal", flow(chance, 4.0, 0.0, PERIOD_SECONDS, lambda: chance.lognormvariate(mu, 1.0)))


def _pareto(chance: Random) -> Trace:
    """Mean 2 s with an infinite variance: 2/3 s * 1.5 / 0.5; one job in ten thousand is as long as 300 s."""
    return _trace(
        "pareto", flow(chance, 4.0, 0.0, PERIOD_SECONDS, lambda: min(600.0, 2.0 / 3.0 * chance.paretovariate(1.5)))
    )


def _mixed(chance: Random) -> Trace:
    short = flow(chance, 50.0, 0.0, PERIOD_SECONDS, _fixed(0.01), type_="short")
    return _trace("mixed", short + flow(chance, 0.1, 0.0, PERIOD_SECONDS, _fixed(60.0), type_="long"))


def _long(chance: Random) -> Trace:
    return _trace("long", flow(chance, 0.5, 0.0, 2 * PERIOD_SECONDS, _fixed(60.0)))


def _trickle(chance: Random) -> Trace:
    return _trace("trickle", flow(chance, 1.0 / 60.0, 0.0, 3_600.0, _fixed(5.0)))


def _scheduled(_: Random) -> Trace:
    return _trace("scheduled", [Job(0.0, 1.0, tenant_id=f"t{number % 5}", due_at=600.0) for number in range(300)])


def _all_fail(chance: Random) -> Trace:
    jobs = _trace("all-fail", flow(chance, 4.0, 0.0, PERIOD_SECONDS, _fixed(1.0)))
    return Trace(jobs.name, jobs.jobs, failing=(Span(200.0, 500.0),))


def _outage(chance: Random) -> Trace:
    usual = flow(chance, 4.0, 0.0, PERIOD_SECONDS, _fixed(1.0))
    more = flow(chance, 36.0, 310.0, 360.0, _fixed(1.0))
    jobs = _trace("outage", usual + more)
    return Trace(jobs.name, jobs.jobs, unreadable=(Span(300.0, 360.0),))


def _noisy(chance: Random) -> Trace:
    others = flow(chance, 2.0, 0.0, PERIOD_SECONDS, _fixed(0.1))
    noisy = [Job(60.0, 0.1, tenant_id=NOISY_TENANT) for _ in range(60_000)]
    jobs = _trace("noisy", others + noisy)
    return Trace(jobs.name, jobs.jobs, tenants=Tenants(overrides={NOISY_TENANT: 16}))


_TRACES: dict[str, Make] = {
    "steady": _steady,
    "step": _step,
    "burst-tiny": _burst_tiny,
    "burst-short": _burst_short,
    "burst-long": _burst_long,
    "waves-slow": _slow_waves,
    "waves-fast": _fast_waves,
    "diurnal": _diurnal,
    "lognormal": _lognormal,
    "pareto": _pareto,
    "mixed": _mixed,
    "long": _long,
    "trickle": _trickle,
    "scheduled": _scheduled,
    "all-fail": _all_fail,
    "outage": _outage,
    "noisy": _noisy,
}

MEANING: dict[str, str] = {
    "steady": "8/s of 1 s",
    "step": "1/s, then 30/s of 1 s",
    "burst-tiny": "10,000 of 10 ms at once",
    "burst-short": "3,000 of 1 s at once",
    "burst-long": "100 of 60 s at once",
    "waves-slow": "20/s of 1 s, 20 s in 120 s",
    "waves-fast": "20/s of 1 s, 10 s in 20 s",
    "diurnal": "0 to 30/s of 0.5 s, with noise",
    "lognormal": "4/s, log-normal, mean 2 s",
    "pareto": "4/s, Pareto 1.5, mean 2 s",
    "mixed": "50/s of 10 ms with 0.1/s of 60 s",
    "long": "0.5/s of 60 s",
    "trickle": "1 a minute of 5 s",
    "scheduled": "300 of 1 s, due in 10 minutes",
    "all-fail": "4/s of 1 s, all fail for 300 s",
    "outage": "4/s of 1 s, 60 s unreadable with ten times the load",
    "noisy": "a tenant with 60,000 of 0.1 s and a cap of 16; 2/s of others",
}
