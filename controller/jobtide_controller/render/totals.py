"""Sums of one reading for the status: in total, by type, by tenant."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jobtide_controller.api.spec import UNLIMITED, TenantLimit, Tenants
from jobtide_controller.api.status import (
    TENANTS_SHOWN,
    TYPE_LIMITS_SHOWN,
    Learned,
    TenantStatus,
    TypeLimitStatus,
    TypeStatus,
)
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.history import History
from jobtide_controller.decide.need import oldest_due
from jobtide_controller.decide.promises import PromiseNeed
from jobtide_controller.decide.reading import OTHERS, Depth, Key, Reading


@dataclass(frozen=True, slots=True)
class Total:
    """Rows and tenants of a part of a reading."""

    due: int
    later: int
    running: int
    oldest_seconds: float | None  # None: none is due
    tenants: int
    capped: bool  # counting stopped: the rows are lower bounds

    @property
    def pending(self) -> int:
        """Rows that wait, scheduled ones included."""
        return self.due + self.later


def total(spec: JobWorkerPoolSpec, reading: Reading) -> Total:
    """The sum of all keys. Jobs of paused tenants have no age: they miss no promise."""
    return _total(reading.depths.items(), spec.tenants)


def by_type(
    spec: JobWorkerPoolSpec, reading: Reading, history: History, needs: Iterable[PromiseNeed] = ()
) -> tuple[TypeStatus, ...]:
    """All types of the pool, also those without jobs, so that a user sees that they are read."""
    found = tuple(_type(type_, spec.tenants, reading, history) for type_ in spec.types)
    promises = {type_: need for need in needs for type_ in need.types}
    return tuple(one.model_copy(update=_promise(promises[one.type])) for one in found) if promises else found


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
            oldest_seconds=int(totals[tenant].oldest_seconds or 0),
            max_concurrent=spec.tenants.cap_of(tenant),
            **_rest_of_limit(spec.tenants.single.get(tenant)),
            type_limits=type_limits(spec.tenants, spec.types, tenant),
        )
        for tenant in ranked[:TENANTS_SHOWN]
    )


def type_limits(tenants: Tenants, types: Iterable[str], tenant: str) -> tuple[TypeLimitStatus, ...]:
    """The tenant's limits for single types, those that are shown."""
    found = ((type_, tenants.type_limit_of(type_, tenant)) for type_ in types)
    return lowest(
        TypeLimitStatus(type=type_, max_concurrent=limit.max_concurrent, **_rest_of_limit(limit))
        for type_, limit in found
        if limit is not None
    )


def lowest(limits: Iterable[TypeLimitStatus]) -> tuple[TypeLimitStatus, ...]:
    """The TYPE_LIMITS_SHOWN lowest, in the order in which they came: pauses before all, weights alone behind all."""
    listed = list(limits)
    caps = [math.inf if one.max_concurrent is None else one.max_concurrent for one in listed]
    shown = sorted(range(len(listed)), key=caps.__getitem__)[:TYPE_LIMITS_SHOWN]
    return tuple(listed[index] for index in sorted(shown))


def _rest_of_limit(limit: TenantLimit | None) -> dict[str, Any]:
    if limit is None:
        return {}
    until = None if limit.until is None else limit.until.replace(microsecond=0)
    return {"weight": limit.weight, "limit_until": until}


def _promise(need: PromiseNeed) -> dict[str, int]:
    return {"promise_seconds": need.seconds, "promise_workers": need.required}


def _type(type_: str, tenants: Tenants, reading: Reading, history: History) -> TypeStatus:
    depth = _total(((key, depth) for key, depth in reading.depths.items() if key.type == type_), tenants)
    learned = history.types.get(type_)
    return TypeStatus(
        type=type_,
        pending=depth.pending,
        scheduled=depth.later,
        processing=depth.running,
        oldest_seconds=int(depth.oldest_seconds or 0),
        tenants=depth.tenants,
        service_seconds=_three_digits(history.learned(type_).service_seconds),
        learned=learned and Learned(slot_seconds=_three_digits(learned.slot_seconds), jobs=_three_digits(learned.jobs)),
    )


def _total(items: Iterable[tuple[Key, Depth]], tenants: Tenants = UNLIMITED) -> Total:
    pairs = list(items)
    depths = [depth for _, depth in pairs]
    return Total(
        due=sum(depth.due for depth in depths),
        later=sum(depth.later for depth in depths),
        running=sum(depth.running for depth in depths),
        oldest_seconds=oldest_due(tenants, pairs),
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
