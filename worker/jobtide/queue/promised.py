"""Claims where types have promises of their own: group by group, the most urgent one first."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from jobtide.errors import TableUnusable
from jobtide.job import Job
from jobtide.queue.careful import RefusedClaim
from jobtide.queue.claims import Claim
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.refusals import RowRefused
from jobtide.queue.ring import Ring
from jobtide.queue.session import DatabaseUnreachable, Session
from jobtide.queue.urgency import Group, grouped, in_order, note
from jobtide.sql import load

_TENANTS_LOOKED_AT = 256  # over all types; a look costs 4 us each
_LOOK_SHARE = 20.0  # a look takes at most a twentieth of the time
_LOOKS_IN_A_PROMISE = 30.0  # of the shortest promise
_LOOK_MIN_SECONDS, _LOOK_MAX_SECONDS = 0.1, 1.0


class _Turn(Group):
    """A group with its own ring, and a queue that remembers what its claims have seen."""

    __slots__ = ("per_key", "queue", "ring")

    def __init__(self, promise_seconds: float, ring: Ring, queue: PostgresJobQueue) -> None:
        super().__init__(promise_seconds, ring.types)
        self.ring = ring
        self.queue = queue
        self.per_key = 1


class PromisedQueue(PostgresJobQueue):
    """The claim of a group is that of a queue with its types alone: its tenants take turns as in any ring.

    A more urgent group is claimed until it has no more due jobs; what is still wanted comes from the next one.
    """

    def __init__(
        self, session: Session, *, types: Sequence[str], promises: Mapping[str, float], **options: Any
    ) -> None:
        """`options` are those of PostgresJobQueue; `types` are all that the worker claims."""
        super().__init__(session, **options)
        self._all_types = tuple(types)
        self._groups = [
            _Turn(seconds, _ring(names, types), PostgresJobQueue(session, **options))
            for seconds, names in grouped(types, promises).items()
        ]
        for group in self._groups:
            group.queue.limits = self.limits  # looked for once, and notified of changes
        shortest = min(group.promise_seconds for group in self._groups)
        self._look_every_seconds = min(max(shortest / _LOOKS_IN_A_PROMISE, _LOOK_MIN_SECONDS), _LOOK_MAX_SECONDS)
        self._look_at = math.inf  # while nothing is due, there is nothing to order

    def claim(self, ring: Ring, wanted: int, per_key: int) -> Claim:
        """As in Claims, over all types. Each group has its own ring, so the caller's passes through."""
        if monotonic() >= self._look_at:
            self._look()
        for group in self._groups:  # also of those that this claim does not try
            group.queue.return_unanswered(monotonic())
        jobs: list[Job] = []
        refused: list[RefusedClaim] = []
        tried, drained, search_seconds = 0, False, math.inf
        order = in_order(self._groups, monotonic())
        for group in order:
            tried += 1
            try:
                claim = _claim(group, wanted - len(jobs))
            except (DatabaseUnreachable, TableUnusable):
                if not (jobs or refused):  # the first groups' are claimed already; the next claim meets the error again
                    raise
                break
            jobs += claim.jobs
            refused += claim.refused
            search_seconds = min(search_seconds, claim.search_seconds)
            if not claim.drained:
                break
        else:
            drained = True
        note(order, tried, monotonic())
        if drained:
            self._look_at = math.inf
        elif self._look_at == math.inf:
            self._look_at = monotonic()
        return Claim(jobs, ring, per_key, drained, search_seconds, tuple(refused))

    def _look(self) -> None:
        """Corrects what is known of each group by the tenants that are next in turn."""
        began = monotonic()
        self.limits.refresh(self._all_types, began)
        ranges = [range_ for group in self._groups for range_ in group.ring.lap()]
        parameters = {
            "types": [range_.type for range_ in ranges],
            "firsts": [f"{range_.first:032x}" for range_ in ranges],
            "lasts": [f"{range_.last:032x}" for range_ in ranges],
            "tenants": max(4, _TENANTS_LOOKED_AT // len(ranges)),
        }
        statement, kinds = load("jobtide.sql", "oldest_due"), self.limits.kinds
        if kinds:
            statement = kinds.statement("oldest_due_limited")
            parameters |= kinds.parameters | {"counted": list(self._all_types)}
        try:
            rows = self._session.execute(statement, parameters)
        except RowRefused:  # the claim then says why
            rows = []
        now = monotonic()
        self._look_at = now + max(self._look_every_seconds, _LOOK_SHARE * (now - began))
        ages = {row["type"]: float(row["due_seconds"]) for row in rows}
        for group in self._groups:
            found = [ages[name] for name in group.types if name in ages]
            if found:
                group.oldest_at = now - max(found)


def _claim(group: _Turn, wanted: int) -> Claim:
    claim = group.queue.claim(group.ring, wanted, min(wanted, group.per_key))
    group.ring, group.per_key = claim.ring, claim.rows_per_key
    # What the tenants next in turn had waited; the look corrects it.
    group.oldest_at = math.inf if claim.drained else monotonic() - max(job.waited_seconds for job in claim.jobs)
    return claim


def _ring(types: tuple[str, ...], of_pool: Sequence[str]) -> Ring:
    """Begins anywhere, so that the workers of a fleet do not all start at the same tenant."""
    counted = tuple(name for name in of_pool if name not in types)
    return Ring(types, random.randrange(len(types)), random.getrandbits(128), counted)  # noqa: S311
