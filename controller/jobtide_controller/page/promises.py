"""Pure: the limits of a pool that hold now, and how near its jobs are to breaking their promise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobtide_controller.api.spec import DEFAULT_MAX_WAIT_SECONDS, UNLIMITED, Tenants
from jobtide_controller.decide.schedules import InForce
from jobtide_controller.page.depths import Depths, Total
from jobtide_controller.telemetry.metrics import PoolGauges


@dataclass(frozen=True, slots=True)
class Held:
    """What holds now, by the clock and for tenants; `windows` has the names of those that set min, max and promise."""

    min: int
    max: int
    wait_seconds: float | None  # of types without a promise of their own; None: jobsPerWorker decides
    promises: Mapping[str, int] = field(default_factory=dict)  # of single types
    windows: Mapping[str, str] = field(default_factory=dict)
    tenants: Tenants = UNLIMITED
    in_force: InForce | None = None

    def promise_of(self, type_: str | None = None, age: float | None = None) -> float | None:
        """To a job of the type; to one of this age, what held when it fell due, if that is longer."""
        if self.wait_seconds is None:
            return None
        own = None if type_ is None else self.promises.get(type_)
        if own is not None:
            return float(own)
        return self.wait_seconds if self.in_force is None or age is None else self.in_force.promised_to(age)

    def windows_of(self, promise_seconds: float | None) -> dict[str, str]:
        """The windows beside these limits: none beside a promise that is of a type, or of the time before."""
        return {
            name: by for name, by in self.windows.items() if name != "promise" or promise_seconds == self.wait_seconds
        }


def held(spec: Mapping[str, Any], gauges: PoolGauges | None) -> Held:
    """As the last decision had it; as the user wrote it, where there is none. `spec` is as Kubernetes stores it."""
    tenants, by_clock = (UNLIMITED, None) if gauges is None else (gauges.tenants, gauges.in_force)
    if by_clock is None:
        least, most = spec.get("minReplicas", 0), spec.get("maxReplicas", 10)
        return Held(least, most, _own(spec), spec.get("promises") or {}, tenants=tenants)
    policy, by = by_clock.spec, {"min": by_clock.min_by, "max": by_clock.max_by, "promise": by_clock.wait_by}
    return Held(
        policy.min_replicas,
        policy.max_replicas,
        _own(spec) if by_clock.wait_by is None else float(by_clock.wait_seconds),
        policy.promises,
        {name: window for name, window in by.items() if window is not None},
        tenants,
        by_clock,
    )


def nearest(
    now: Held, types: Iterable[str], depths: Depths | None, total: Total | None
) -> tuple[float | None, float | None]:
    """The age of the due job that is nearest to breaking its promise, and this promise; ages are None if none is due.

    20 s of 30 s come before 100 s of 600 s.
    """
    if not now.promises:
        age = None if total is None else total.oldest_seconds
        return age, now.promise_of(age=age)
    ages = _ages(now, types, depths) if total is not None and depths is not None else {}
    if not ages:
        known = (now.promise_of(type_) for type_ in types)
        return None, min((promise for promise in known if promise is not None), default=now.promise_of())
    promises = {type_: now.promise_of(type_, age) or DEFAULT_MAX_WAIT_SECONDS for type_, age in ages.items()}
    first = max(ages, key=lambda type_: ages[type_] / promises[type_])
    return ages[first], promises[first]


def _ages(now: Held, types: Iterable[str], depths: Depths) -> dict[str, float]:
    found = ((type_, depths.of_pool([type_], now.tenants).oldest_seconds) for type_ in types)
    return {type_: age for type_, age in found if age is not None}


def _own(spec: Mapping[str, Any]) -> float | None:
    if spec.get("maxWaitSeconds") is None and spec.get("jobsPerWorker") is not None:
        return None
    return float(spec.get("maxWaitSeconds") or DEFAULT_MAX_WAIT_SECONDS)
