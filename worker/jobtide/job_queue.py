"""The table as the worker sees it: claim, finish, extend, rescue. One statement each, one round trip each."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol
from uuid import UUID

from jobtide.caps import NO_CAPS, TenantCaps
from jobtide.flights import Flight
from jobtide.job import End, Job, token_prefix
from jobtide.ring import Lap, Ring, rows_per_key
from jobtide.session import DatabaseAway, Session
from jobtide.sql import load

_UNANSWERED_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim brought, and what to ask with next time."""

    jobs: list[Job]
    ring: Ring
    rows_per_key: int
    drained: bool  # the whole lap was walked and no key could have given more: nothing else is due


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
        nonce: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._session = session
        self._prefix = token_prefix(pod_uid)
        self._lease_seconds = lease_seconds
        self._caps = caps
        self._nonce = nonce
        self._unanswered: dict[str, float] = {}  # token of a claim without an answer -> when it was asked

    def claim(self, ring: Ring, wanted: int, per_key: int) -> Claim:
        """Up to `wanted` due jobs from the keys behind the ring's cursor, up to `per_key` from each."""
        self._return_unanswered(monotonic())
        token = self._prefix + self._nonce()
        try:
            rows = self._claim_rows(
                ring.lap(),
                {
                    "wanted": wanted,
                    "rows_per_key": per_key,
                    "token": token,
                    "lease_seconds": self._lease_seconds,
                },
            )
        except DatabaseAway:
            self._unanswered[token] = monotonic()
            raise
        if not rows:
            return Claim([], ring, wanted, drained=True)
        last = max(rows, key=lambda row: (row["position"], row["tenant_id"].int))
        served = _rows_by_key(rows)
        return Claim(
            [_job(row, token) for row in rows],
            ring.after(last["type"], last["tenant_id"]),
            rows_per_key(wanted, len(served)),
            drained=len(rows) < wanted and max(served.values()) < per_key,
        )

    def _return_unanswered(self, now: float) -> None:
        """Asked again for a while: the lost claim may commit after its connection is gone."""
        if not self._unanswered:
            return
        self._session.execute(load("jobtide.sql", "return_unanswered"), {"tokens": list(self._unanswered)})
        self._unanswered = {
            token: asked for token, asked in self._unanswered.items() if now - asked < _UNANSWERED_SECONDS
        }

    def _claim_rows(self, lap: Lap, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        where = {"types": lap.types, "firsts": lap.firsts, "lasts": lap.lasts}
        if not self._caps:
            return self._session.execute(load("jobtide.sql", "claim"), {**where, **parameters})
        with self._session.transaction() as execute:
            look = {**where, **self._caps.parameters, "wanted": parameters["wanted"]}
            keys = execute(load("jobtide.sql", "lock_tenants"), look)
            if not keys:
                return []
            chosen = {
                "types": list(dict.fromkeys(lap.types)),
                "key_types": [key["type"] for key in keys],
                "key_tenants": [key["tenant_id"] for key in keys],
                "key_positions": [key["position"] for key in keys],
            }
            return execute(load("jobtide.sql", "claim_capped"), {**chosen, **self._caps.parameters, **parameters})

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
        progress = [flight.context.reported for flight in flights]
        rows = self._session.execute(
            load("jobtide.sql", "extend"),
            {
                "ids": [flight.job.id for flight in flights],
                "tokens": [flight.job.token for flight in flights],
                "attempts": [flight.job.attempt for flight in flights],
                "progress": [None if value is None else json.dumps(value) for value in progress],
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

    def close(self) -> None:
        self._session.close()


def _rows_by_key(rows: list[dict[str, Any]]) -> dict[tuple[str, UUID], int]:
    served: dict[tuple[str, UUID], int] = {}
    for row in rows:
        key = (row["type"], row["tenant_id"])
        served[key] = served.get(key, 0) + 1
    return served


def _job(row: dict[str, Any], token: str) -> Job:
    return Job(
        id=row["id"],
        tenant_id=row["tenant_id"],
        type=row["type"],
        payload=row["payload"],
        attempt=row["attempts"],
        token=token,
        waited_seconds=row["waited_seconds"],
        result=row["result"],
    )
