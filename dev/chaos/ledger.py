"""What the database recorded: the claims and ends of each job, by the database's clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from dev.chaos.server import PostgresServer
from jobtide.sql import load

SQL = "dev.chaos.sql"
ENDS = ("completed", "failed")
NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Claim:
    """From the time it was made to the time the job ended or was requeued."""

    token: str
    at: float
    until: float = NEVER
    became: str = "processing"

    @property
    def pod_uid(self) -> str:
        return self.token.split(":")[1]

    def lasts_over(self, at: float, *, since_seconds: float, and_seconds: float = 0.0) -> bool:
        """True if it was at least `since_seconds` old at that time, and lasted more than `and_seconds` longer."""
        return self.at <= at - since_seconds and self.until > at + and_seconds


@dataclass(frozen=True, slots=True)
class Life:
    """One job, from its insert to its end."""

    id: UUID
    status: str
    result: Any
    attempts: int
    created_at: float
    claims: tuple[Claim, ...]
    accepted_ends: int

    @property
    def first_claim_at(self) -> float:
        """Seconds since 1970; infinite if it was never claimed."""
        return self.claims[0].at if self.claims else NEVER


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything that the database recorded of one run, by job id."""

    lives: Mapping[UUID, Life]
    executions: Mapping[UUID, list[str]] = field(default_factory=dict)  # of effect jobs: the token of each execution


@dataclass(frozen=True, slots=True)
class LedgerReader:
    """Reads the jobs of the tenants of this run."""

    server: PostgresServer
    tenants: tuple[UUID, ...]

    def unfinished(self) -> int | None:
        """How many jobs are pending or processing; None if the database does not answer."""
        return self._count("unfinished", {"tenants": list(self.tenants)}, package="dev.stage.sql")

    def overdue(self, seconds: float) -> int | None:
        """How many jobs have been due for so long and are not claimed; None if the database does not answer."""
        return self._count("overdue", {"tenants": list(self.tenants), "seconds": seconds})

    def read(self) -> Ledger:
        """Raises psycopg.OperationalError if the database does not answer."""
        with self.server.connect() as conn:
            rows = conn.execute(load(SQL, "rows"), {"tenants": list(self.tenants)}).fetchall()
            transitions = conn.execute(load(SQL, "transitions"), {"tenants": list(self.tenants)}).fetchall()
            effects = conn.execute("SELECT job_id, token FROM jobtide_chaos.effects").fetchall()
        executions: dict[UUID, list[str]] = {}
        for job_id, token in effects:
            executions.setdefault(job_id, []).append(token)
        return Ledger(lives_of(rows, transitions), executions)

    def _count(self, statement: str, parameters: dict[str, Any], *, package: str = SQL) -> int | None:
        try:
            with self.server.connect() as conn:
                return int(conn.execute(load(package, statement), parameters).fetchall()[0][0])
        except psycopg.OperationalError:
            return None


def lives_of(rows: Iterable[tuple[Any, ...]], transitions: Iterable[tuple[Any, ...]]) -> dict[UUID, Life]:
    """Rows are (id, status, result, attempts, created_at), transitions (id, became, worker, at) in their order."""
    claims: dict[UUID, list[Claim]] = {}
    ends: dict[UUID, int] = {}
    for job_id, became, token, at in transitions:
        own = claims.setdefault(job_id, [])
        if became == "processing":
            own.append(Claim(token, at))
        elif own and own[-1].until == NEVER:
            own[-1] = Claim(own[-1].token, own[-1].at, at, became)
        if became in ENDS:
            ends[job_id] = ends.get(job_id, 0) + 1
    return {
        id_: Life(id_, status, result, attempts, created_at, tuple(claims.get(id_, ())), ends.get(id_, 0))
        for id_, status, result, attempts, created_at in rows
    }
