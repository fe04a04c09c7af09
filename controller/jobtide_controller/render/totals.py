"""Sums of one reading for the status: in total, by type, by tenant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobtide_controller.api.status import TENANTS_SHOWN, Learned, TenantStatus, TypeStatus
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.history import History
from jobtide_controller.decide.reading import OTHERS, Depth, Key, Reading


@dataclass(frozen=True, slots=True)
class Total:
    """Rows and tenants of a part of a reading."""

    due: int
    later: int
    running: int
    oldest_seconds: float
    tenants: int
    capped: bool  # counting stopped: the rows are lower bounds

    @property
    def pending(self) -> int:
        """Rows that wait, scheduled ones included."""
        return self.due + self.later


def total(reading: Reading) -> Total:
    """The sum of all keys."""
    return _total(reading.depths.items())


def by_type(spec: JobWorkerPoolSpec, reading: Reading, history: History) -> tuple[TypeStatus, ...]:
    """All types of the pool, also those without jobs, so that a user sees that they are read."""
    return tuple(_type(type_, reading, history) for type_ in spec.types)


def top_tenants(spec: JobWorkerPoolSpec, reading: Reading) -> tuple[TenantStatus, ...]:
    """The TENANTS_SHOWN tenants with the most waiting jobs, then the most running ones."""
    grouped: dict[str, list[tuple[Key, Depth]]] = {}
    for key, depth in reading.depths.items():
        if key.tenant_id != OTHERS:
            grouped.setdefault(key.tenant_id, []).append((key, depth))
    totals = {tenant: _total(items) for tenant, items in grouped.items()}
    ranked = sorted(totals, key=lambda tenant: (-totals[tenant].pending, -totals[tenant].running, tenant))
    return tuple(
        TenantStatus(
            tenant=tenant,
            pending=totals[tenant].pending,
            processing=totals[tenant].running,
            oldest_seconds=int(totals[tenant].oldest_seconds),
            max_concurrent=spec.tenants.cap_of(tenant),
        )
        for tenant in ranked[:TENANTS_SHOWN]
    )


def _type(type_: str, reading: Reading, history: History) -> TypeStatus:
    depth = _total((key, depth) for key, depth in reading.depths.items() if key.type == type_)
    learned = history.types.get(type_)
    return TypeStatus(
        type=type_,
        pending=depth.pending,
        scheduled=depth.later,
        processing=depth.running,
        oldest_seconds=int(depth.oldest_seconds),
        tenants=depth.tenants,
        service_seconds=_three_digits(history.learned(type_).service_seconds),
        learned=learned and Learned(slot_seconds=_three_digits(learned.slot_seconds), jobs=_three_digits(learned.jobs)),
    )


def _total(items: Iterable[tuple[Key, Depth]]) -> Total:
    pairs = list(items)
    depths = [depth for _, depth in pairs]
    return Total(
        due=sum(depth.due for depth in depths),
        later=sum(depth.later for depth in depths),
        running=sum(depth.running for depth in depths),
        oldest_seconds=max((depth.oldest_age_seconds for depth in depths if depth.due), default=0.0),
        tenants=_tenants(pairs),
        capped=any(depth.capped for depth in depths),
    )


def _tenants(pairs: Iterable[tuple[Key, Depth]]) -> int:
    """The others of two types may be the same tenants: the larger number counts."""
    named: set[str] = set()
    others = 0
    for key, depth in pairs:
        if key.tenant_id == OTHERS:
            others = max(others, depth.tenants)
        elif depth.due or depth.later or depth.running:
            named.add(key.tenant_id)
    return len(named) + others


def _three_digits(value: float) -> float:
    """Enough digits to continue learning from, and few enough that the status does not change with every tick."""
    return float(f"{value:.3g}")
