"""How many jobs of one tenant may run at once, over all types of a worker's pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

UNLIMITED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TenantCaps:
    """`max_concurrent` for every tenant, `overrides` for some; None means no limit for those without an override."""

    max_concurrent: int | None = None
    overrides: Mapping[UUID, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.max_concurrent is not None or bool(self.overrides)

    @property
    def parameters(self) -> dict[str, Any]:
        """For the CTE in queue/limits.py."""
        return {"override_tenants": list(self.overrides), "override_caps": list(self.overrides.values())}


NO_CAPS = TenantCaps()
