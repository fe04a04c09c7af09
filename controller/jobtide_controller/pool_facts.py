"""Pure: a pool's spec and status as facts about why its jobs wait, for the page and for the kubectl plugin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jobtide.operate.why import PoolFacts

Json = Mapping[str, Any]


def pool_facts(
    name: str, types: Iterable[str], spec: Json, status: Json, *, desired: int | None, ready: int | None
) -> PoolFacts:
    """What is known of one pool. `spec` and `status` are as Kubernetes stores them; `name` is namespace/name.

    `types` are those that the pool handles: none for a pool that may not use its database.
    """
    tenants, shown = spec.get("tenants") or {}, status.get("tenants") or ()
    listed = {found.get("type", ""): found for found in status.get("conditions") or ()}
    stalled, progressing, active = (listed.get(kind, {}) for kind in ("Stalled", "Progressing", "ScalingActive"))
    troubles = [stalled.get("message", "")] if stalled.get("status") == "True" else _waits(progressing)
    is_limited = active.get("status") == "False" and active.get("reason", "").startswith("CappedBy")
    paused = listed.get("Paused", {}).get("status") == "True"
    until = spec.get("pausedUntil")
    return PoolFacts(
        name=name,
        types=tuple(types),
        desired=desired,
        ready=ready,
        paused=(f"until {until}" if until else "") if paused else None,
        pinned=spec.get("replicas"),
        limit=active.get("message", "") if is_limited else None,
        troubles=tuple(troubles),
        tenant_cap=tenants.get("maxConcurrent"),
        tenant_cap_overrides=_caps_of_tenants(tenants, shown),
    )


def _caps_of_tenants(tenants: Json, shown: Iterable[Json]) -> dict[str, int]:
    """As the spec has them, and for the tenants that the status shows, from all sources and as they are now."""
    limits = {tenant: limit.get("maxConcurrent") for tenant, limit in (tenants.get("limits") or {}).items()}
    now = {one.get("tenant", ""): one.get("maxConcurrent") for one in shown}
    found = {**(tenants.get("overrides") or {}), **limits, **now}
    return {tenant: cap for tenant, cap in found.items() if isinstance(cap, int)}


def _waits(progressing: Json) -> list[str]:
    """What a worker waits for that is not ready."""
    cause = progressing.get("message", "").partition("; ")[2] if progressing.get("status") == "True" else ""
    return [cause] if cause else []
