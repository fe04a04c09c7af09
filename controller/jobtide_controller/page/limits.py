"""Pure: the limits of tenants as fields of the page's documents: their numbers, and the words of `why` and `top`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jobtide_controller.api.spec import TenantLimit
from jobtide_controller.api.status import TenantStatus, TypeLimitStatus
from jobtide_controller.decide.limits import ALL_TYPES, InForce, Shared, in_force
from jobtide_controller.decide.reading import Key
from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.render.tenant_limits import limit_words
from jobtide_controller.render.totals import lowest, type_limits


@dataclass(frozen=True, slots=True)
class Limiting:
    """What limits tenants besides the pools' specs, and when; the time is by the controller's clock."""

    shared: Shared = field(default_factory=dict)
    now: float = 0.0


NO_LIMITING = Limiting()


class OfPool(NamedTuple):
    """The limits of some tenants that hold now in one pool."""

    types: tuple[str, ...]  # for which one of these tenants has a limit
    limits: InForce


def in_force_of(entries: Iterable[PoolEntry], tenants: Sequence[str], limiting: Limiting) -> list[OfPool]:
    """Those of these tenants, in each of the pools."""
    asked = frozenset(tenants)
    of_all_types = [Key(ALL_TYPES, tenant) for tenant in tenants]
    typed: defaultdict[str, list[Key]] = defaultdict(list)  # not each tenant for each type: there may be many of both
    for key in limiting.shared:
        if key.type != ALL_TYPES and key.tenant_id in asked:
            typed[key.type].append(key)
    found = []
    for entry in entries:
        types = tuple(type_ for type_ in entry.types if type_ in typed)
        keys = [*of_all_types, *(key for type_ in types for key in typed[type_])]
        found.append(OfPool(types, in_force(entry.tenants, limiting.shared, keys, limiting.now)))
    return found


def limit_fields(tenant: str, running: int, pools: Iterable[OfPool]) -> dict[str, Any]:
    """One tenant over these pools.

    The caps of all pools together, None if one has none; the highest weight, and the first end of a limit. A limit of
    one type is of all pools.
    """
    pools = list(pools)
    caps = [pool.limits.cap_of(tenant) for pool in pools]
    singles = [single for pool in pools if (single := pool.limits.limits.get(tenant)) is not None]
    known = [cap for cap in caps if cap is not None]
    entry = TenantStatus(
        tenant=tenant,
        processing=running,
        max_concurrent=sum(known) if known and len(known) == len(caps) else None,
        weight=max((single.weight for single in singles if single.weight is not None), default=None),
        limit_until=min((single.until for single in singles if single.until is not None), default=None),
        type_limits=lowest({one.type: one for pool in pools for one in _of_types(pool, tenant)}.values()),
    )
    return {
        "cap": entry.max_concurrent,
        "weight": entry.weight,
        "limit_until": None if entry.limit_until is None else entry.limit_until.timestamp(),
        "limit": limit_words(entry, names_cap=False),
    }


def type_limit_fields(tenant: str, type_: str, running: int, pool: OfPool) -> dict[str, Any]:
    """One tenant's limit for one type."""
    limit = pool.limits.type_limit_of(type_, tenant) or TenantLimit()
    own = TenantStatus(
        tenant=tenant,
        processing=running,
        max_concurrent=limit.max_concurrent,
        weight=limit.weight,
        limit_until=limit.until,
    )
    return {"cap": own.max_concurrent, "limit": limit_words(own, names_cap=False)}


def _of_types(pool: OfPool, tenant: str) -> tuple[TypeLimitStatus, ...]:
    return type_limits(pool.limits, pool.types, tenant)
