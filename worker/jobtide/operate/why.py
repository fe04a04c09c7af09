"""Says why a job waits, from the table and, where the caller knows them, from facts about the pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from jobtide.operate.read import JobLine
from jobtide.operate.session import SECONDS, Connection


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What a controller knows of one pool of this database. Its pools together are all that work on the table."""

    name: str  # namespace/name
    types: tuple[str, ...]
    desired: int | None = None
    ready: int | None = None
    paused: str | None = None  # not None: paused; the text says until when, or is empty
    pinned: int | None = None  # spec's fixed number of workers
    limit: str | None = None  # why it has no more workers, in words: "at maxReplicas 40"
    troubles: tuple[str, ...] = ()  # why pods don't start, in Kubernetes' words
    tenant_cap: int | None = None  # running jobs of one tenant over all types of the pool
    tenant_cap_overrides: Mapping[str, int] = field(default_factory=dict)  # by tenant's UUID

    def cap_of(self, tenant_id: str) -> int | None:
        return self.tenant_cap_overrides.get(tenant_id, self.tenant_cap)


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is true of the job. `code` is one of CODES, for icons and filters; `text` is one sentence."""

    code: str
    text: str


CODES = (
    "Completed", "Failed", "Running", "LeaseExpired", "HeldByAnother",
    "NotDue", "UnservedType", "Paused", "PodsNotStarting", "NoWorkers", "TenantAtCap", "BehindTenant", "PoolAtLimit",
    "Pinned", "NothingRuns", "Next",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Why:
    """The reasons, the most important one first; there is at least one."""

    job: JobLine
    reasons: tuple[Reason, ...]
    ahead: int  # due jobs of this tenant and type that come before it; at most COUNTED
    tenant_running: int  # over the types that share the tenant's cap, as far as they are known
    type_running: int
    tenant_cap: int | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


COUNTED = 10_000
"""Counts end here: read it as "10,000 or more"."""


def why(
    connection: Connection, id_: UUID, pools: Sequence[PoolFacts] | None = None, *, seconds: float = SECONDS
) -> Why | None:
    """Why this job waits, or what became of it; None if there is none. `pools` None: nothing is known of the pools.

    Raises TooSlow, psycopg.Error.
    """
    raise NotImplementedError
