"""The table as a worker sees it: claim, finish, extend, rescue. One statement and one round trip each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from jobtide.context import Context
from jobtide.job import End, Job
from jobtide.queue.claims import Claim, Claims
from jobtide.queue.refusals import RowRefused
from jobtide.queue.ring import Ring
from jobtide.queue.session import DatabaseUnreachable
from jobtide.sql import load

_ALL_TOKENS = "jobtide:"  # the start of every claim token, of any pod


@dataclass(frozen=True, slots=True)
class Rescued:
    """A job of a dead claim that was requeued; `attempts` counts that claim."""

    id: UUID
    type: str
    tenant_id: UUID
    attempts: int


class JobQueue(Protocol):
    """What the worker needs of a queue.

    Every method may raise DatabaseUnreachable; those that get ends or contexts may also raise RowRefused.
    """

    def claim(self, ring: Ring, wanted: int, per_key: int) -> Claim: ...
    def finish(self, ends: Sequence[End]) -> set[UUID]: ...
    def finish_unlocked(self, ends: Sequence[End]) -> set[UUID]: ...
    def held(self, jobs: Sequence[Job]) -> set[UUID]: ...
    def confirm(self, ends: Sequence[End]) -> set[UUID]: ...
    def extend(self, contexts: Sequence[Context]) -> set[UUID]: ...
    def rescue_expired(self, at_most: int) -> list[Rescued]: ...
    def rescue_own_pod(self) -> list[Rescued]: ...
    def close(self) -> None: ...


class PostgresJobQueue(Claims):
    """JobQueue over one connection. Each thread of the worker that talks to the table has its own.

    `claim` is in Claims: it alone remembers something from call to call.
    """

    def finish(self, ends: Sequence[End]) -> set[UUID]:
        """Ends claims through the fence. Returns the ids that passed; the others are lost leases.

        Raises RowRefused also if another transaction holds a lock on one of the rows for 0.1 s.
        """
        return self._finish("finish", ends)

    def finish_unlocked(self, ends: Sequence[End]) -> set[UUID]:
        """The same, without rows that another transaction has locked."""
        return self._finish("finish_unlocked", ends)

    def held(self, jobs: Sequence[Job]) -> set[UUID]:
        """The ids whose claim is still valid: with a locked row, not with a lost lease."""
        return self._looked_up(
            "held",
            {
                "ids": [job.id for job in jobs],
                "tokens": [job.token for job in jobs],
                "attempts": [job.attempt for job in jobs],
            },
        )

    def _finish(self, name: str, ends: Sequence[End]) -> set[UUID]:
        rows = self._session.execute(
            load("jobtide.sql", name),
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
        """The ids whose end is written already: for a finish whose answer was lost with its connection."""
        return self._looked_up(
            "confirm", {"ids": [end.job.id for end in ends], "tokens": [end.job.token for end in ends]}
        )

    def _looked_up(self, name: str, parameters: dict[str, Any]) -> set[UUID]:
        """The ids that a statement finds. It changes no row, so a refusal (a timeout) is no row's."""
        try:
            return {row["id"] for row in self._session.execute(load("jobtide.sql", name), parameters)}
        except RowRefused as refusal:
            raise DatabaseUnreachable(str(refusal)) from None

    def extend(self, contexts: Sequence[Context]) -> set[UUID]:
        """Extends the leases of these jobs and stores their progress. Returns the ids that were extended.

        The others have lost their lease, or their row is locked: see `held`.
        """
        rows = self._session.execute(
            load("jobtide.sql", "extend"),
            {
                "ids": [context.job.id for context in contexts],
                "tokens": [context.job.token for context in contexts],
                "attempts": [context.job.attempt for context in contexts],
                "progress": [context.reported for context in contexts],
                "lease_seconds": self._lease_seconds,
            },
        )
        return {row["id"] for row in rows}

    def rescue_expired(self, at_most: int) -> list[Rescued]:
        """Requeues up to `at_most` jobs of any worker whose lease has expired."""
        rows = self._by_parts("rescue_expired", {"at_most": at_most}, _ALL_TOKENS)
        return [Rescued(**row) for row in rows]

    def rescue_own_pod(self) -> list[Rescued]:
        """Requeues the jobs of an earlier process of this pod. Call it only before the first claim."""
        rows = self._by_parts("rescue_own_pod", {"token_prefix": self._prefix})
        return [Rescued(**row) for row in rows]

    def extend_own_pod(self) -> set[UUID]:
        """Extends all leases of this pod, for a process that does not know which it holds; their ids."""
        rows = self._by_parts("extend_own_pod", {"token_prefix": self._prefix, "lease_seconds": self._lease_seconds})
        return {row["id"] for row in rows}

    def close(self) -> None:
        self._session.close()
