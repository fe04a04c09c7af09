"""The table as the worker sees it: claim, finish, extend, rescue. One statement each, one round trip each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from jobtide.job import End, token_prefix
from jobtide.queue.caps import NO_CAPS, TenantCaps
from jobtide.queue.claims import Claim, Claims
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session
from jobtide.sql import load
from jobtide.worker.in_flight import Flight


@dataclass(frozen=True, slots=True)
class Rescued:
    """A row that came back to the queue from a dead claim."""

    id: UUID
    type: str
    tenant_id: UUID
    attempts: int


class JobQueue(Protocol):
    """What the worker needs of a queue. Every method may raise DatabaseAway; finish may raise BadData."""

    def claim(self, ring: Ring, wanted: int, per_key: int) -> Claim: ...
    def finish(self, ends: Sequence[End]) -> set[UUID]: ...
    def confirm(self, ends: Sequence[End]) -> set[UUID]: ...
    def extend(self, flights: Sequence[Flight]) -> set[UUID]: ...
    def rescue_expired(self, at_most: int) -> list[Rescued]: ...
    def rescue_own_pod(self) -> list[Rescued]: ...
    def close(self) -> None: ...


class PostgresJobQueue:
    """JobQueue over one connection. Each thread of the worker that talks to the table has its own."""

    def __init__(
        self,
        session: Session,
        *,
        pod_uid: str,
        lease_seconds: float,
        caps: TenantCaps = NO_CAPS,
    ) -> None:
        self._session = session
        self._prefix = token_prefix(pod_uid)
        self._lease_seconds = lease_seconds
        self._claims = Claims(session, self._prefix, lease_seconds, caps)

    def claim(self, ring: Ring, wanted: int, per_key: int) -> Claim:
        """Up to `wanted` due jobs from the keys behind the ring's cursor, up to `per_key` from each."""
        return self._claims.claim(ring, wanted, per_key)

    def finish(self, ends: Sequence[End]) -> set[UUID]:
        """Ends claims through the fence; the ids that it let pass. The others are lost leases."""
        rows = self._session.execute(
            load("jobtide.sql", "finish"),
            {
                "ids": [end.job.id for end in ends],
                "tokens": [end.job.token for end in ends],
                "attempts": [end.job.attempt for end in ends],
                "statuses": [end.status for end in ends],
                "results": [end.result for end in ends],
                "delays": [end.delay_seconds for end in ends],
                "gives_back": [end.gives_back for end in ends],
            },
        )
        return {row["id"] for row in rows}

    def confirm(self, ends: Sequence[End]) -> set[UUID]:
        """The ids whose end has been applied already: for a finish whose answer was lost with its connection."""
        rows = self._session.execute(
            load("jobtide.sql", "confirm"),
            {"ids": [end.job.id for end in ends], "tokens": [end.job.token for end in ends]},
        )
        return {row["id"] for row in rows}

    def extend(self, flights: Sequence[Flight]) -> set[UUID]:
        """Starts these leases again, and stores reported progress; the ids that are still ours."""
        rows = self._session.execute(
            load("jobtide.sql", "extend"),
            {
                "ids": [flight.job.id for flight in flights],
                "tokens": [flight.job.token for flight in flights],
                "attempts": [flight.job.attempt for flight in flights],
                "progress": [flight.context.reported for flight in flights],
                "lease_seconds": self._lease_seconds,
            },
        )
        return {row["id"] for row in rows}

    def rescue_expired(self, at_most: int) -> list[Rescued]:
        """Returns jobs, of any worker of ours, whose lease has ended."""
        rows = self._session.execute(load("jobtide.sql", "rescue_expired"), {"at_most": at_most})
        return [Rescued(**row) for row in rows]

    def rescue_own_pod(self) -> list[Rescued]:
        """Returns what an earlier process of this pod left behind. Only before the first claim."""
        rows = self._session.execute(load("jobtide.sql", "rescue_own_pod"), {"token_prefix": self._prefix})
        return [Rescued(**row) for row in rows]

    def extend_own_pod(self) -> set[UUID]:
        """Starts all leases of this pod again: for a process that can't say which it holds."""
        rows = self._session.execute(
            load("jobtide.sql", "extend_own_pod"),
            {"token_prefix": self._prefix, "lease_seconds": self._lease_seconds},
        )
        return {row["id"] for row in rows}

    def close(self) -> None:
        self._session.close()
