"""The limits of tenants from both sources: a pool's spec.tenants, and the view job_tenant_limits for all pools.

Each value by itself comes from the first source that has it and is not over: the pool's own limit of the tenant, the
view's, the pool's limit for all. A limit of one type, which only the view has, holds beside it. Claims follow the same
rule in sql/lock_tenants.sql of the worker; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import Field

from jobtide_controller.api.spec import MOST_CONCURRENT, TenantLimit, Tenants
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.history import History
from jobtide_controller.decide.reading import OTHERS, Key, Reading

ALL_TYPES = ""
YEAR_10000 = 253_402_300_800.0  # seconds since the epoch; an end that no datetime can hold is none
PAUSED_NAMED = 1_000  # paused tenants that are read by themselves, however many tenants there are


class Limit(NamedTuple):
    """What one source says of one tenant; None: nothing. `until` is by the database's clock, in seconds."""

    max_concurrent: int | None = None
    weight: int | None = None
    until: float | None = None

    def holds(self, now: float) -> bool:
        return self.until is None or now < self.until


NOTHING = Limit()
Shared = Mapping[Key, Limit]
"""The view's limits; the type of a key is ALL_TYPES for those of all types together."""


class PoolLimits(NamedTuple):
    """What the table is to hold for one pool."""

    pool: str  # namespace/name
    max_concurrent: int | None
    limits: Mapping[str, Limit]  # by tenant


@dataclass(frozen=True, slots=True)
class LimitsTrouble:
    """Why limits are not as their sources have them now: those that were known hold."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What a database holds of limits, after they were stored and the view was read."""

    is_stored: bool | None = None  # None: not known yet
    shared: Shared = field(default_factory=dict)
    has_view: bool = False
    trouble: LimitsTrouble | None = None


class InForce(Tenants):
    """The limits that hold now, of the tenants of one reading."""

    typed: dict[tuple[str, str], TenantLimit] = Field(default_factory=dict)  # by type and tenant
    of_pool: bool = False  # the pool has limits of its own, also if none of their tenants is in the reading

    @property
    def is_set(self) -> bool:
        return self.of_pool

    @property
    def has_pause(self) -> bool:
        return super().has_pause or any(limit.max_concurrent == 0 for limit in self.typed.values())

    def type_limit_of(self, type_: str, tenant_id: str) -> TenantLimit | None:
        return self.typed.get((type_, tenant_id))


def pool_limits(pool: str, tenants: Tenants) -> PoolLimits:
    """As they are stored."""
    limits = {
        tenant: Limit(one.max_concurrent, one.weight, None if one.until is None else one.until.timestamp())
        for tenant, one in tenants.single.items()
    }
    return PoolLimits(pool, tenants.max_concurrent, limits)


def with_limits(
    spec: JobWorkerPoolSpec, shared: Shared, reading: Reading, history: History | None = None
) -> JobWorkerPoolSpec:
    """The spec with the limits in force at the time of the reading; the same one where there are none.

    `history`: tenants whose jobs have arrived are limited also while the reading has none of their jobs.
    """
    if not shared and not spec.tenants.overrides and not spec.tenants.limits:
        return spec
    keys = set(reading.depths)
    if history is not None:
        keys.update(history.counts)
        keys.update(Key(group.type, group.tenant_id) for group in history.flow if group.tenant_id is not None)
    return spec.model_copy(update={"tenants": in_force(spec.tenants, shared, keys, reading.taken_at)})


def in_force(tenants: Tenants, shared: Shared, keys: Iterable[Key], now: float) -> InForce:
    """The limits of the tenants of these keys."""
    found = {key for key in keys if key.tenant_id != OTHERS}
    own = pool_limits("", tenants).limits
    limits = {}
    for tenant in {key.tenant_id for key in found}:
        mine, other = (_holding(one, now) for one in (own.get(tenant), shared.get(Key(ALL_TYPES, tenant))))
        cap = mine if mine.max_concurrent is not None else other
        weight = mine if mine.weight is not None else other
        if cap.max_concurrent is None and weight.weight is None:
            continue
        ends = [one.until for one in {cap, weight} if one.until is not None]
        limits[tenant] = TenantLimit.model_construct(
            max_concurrent=tenants.max_concurrent if cap.max_concurrent is None else cap.max_concurrent,
            weight=weight.weight,
            until=_moment(min(ends, default=None)),
        )
    typed = {}
    for key in found:
        one = NOTHING if key.type == ALL_TYPES else _holding(shared.get(key), now)
        own_weight = None if one.weight is None else _holding(own.get(key.tenant_id), now).weight
        weight_of_type = one.weight if own_weight is None else None  # the pool's own comes first
        if one.max_concurrent is not None or weight_of_type is not None:
            typed[key.type, key.tenant_id] = TenantLimit.model_construct(
                max_concurrent=one.max_concurrent, weight=weight_of_type, until=_moment(one.until)
            )
    return InForce.model_construct(
        max_concurrent=tenants.max_concurrent, overrides={}, limits=limits, typed=typed, of_pool=tenants.is_set
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _holding(limit: Limit | None, now: float) -> Limit:
    return limit if limit is not None and limit.holds(now) else NOTHING


def least_limits(by_spec: Mapping[str, int], shared: Shared, types: Collection[str]) -> Mapping[str, int]:
    """The lowest limit of each type: of the pools' specs, and of the view."""
    if not shared:
        return by_spec
    found = dict(by_spec)
    for key, limit in shared.items():
        if limit.max_concurrent is None:
            continue
        for type_ in types if key.type == ALL_TYPES else {key.type}.intersection(types):
            found[type_] = min(found.get(type_, MOST_CONCURRENT), limit.max_concurrent or MOST_CONCURRENT)
    return found


def paused(pools: Iterable[PoolLimits], shared: Shared) -> frozenset[str]:
    """The tenants that a source pauses, at most PAUSED_NAMED of them."""
    of_pools = {tenant for pool in pools for tenant, limit in pool.limits.items() if limit.max_concurrent == 0}
    all_of_them = of_pools | {key.tenant_id for key, limit in shared.items() if limit.max_concurrent == 0}
    return frozenset(sorted(all_of_them)[:PAUSED_NAMED])


def shared_of(rows: Iterable[Mapping[str, Any]]) -> Shared:
    """The rows of the view, which are in their ranges."""
    return {
        Key(row["type"] or ALL_TYPES, str(row["tenant_id"])): Limit(
            row["max_concurrent"], row["weight"], row["until"] if (row["until"] or 0.0) < YEAR_10000 else None
        )
        for row in rows
        if row["max_concurrent"] is not None or row["weight"] is not None
    }
