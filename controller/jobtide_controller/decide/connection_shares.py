"""How the pools of one database share the connections that it has for workers.

The division is fair and never exceeds the budget. Workers are given one at a time, to the pool with the fewest first.
Those that users set by number (minReplicas, pins) and those that jobs need take turns, so that neither can take all.
A worker starts only when its connections are free, not when another worker was only asked to release them.
docs/adr/2026-11-24-pools-share-a-connection-budget.md has the reasons.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.reading import Reading, Unreadable

HELD_BY_WORKER = 2
"""Connections: one for claims, one for outcomes and leases. A test counts them on a real server."""


@dataclass(frozen=True, slots=True)
class ConnectionRequest:
    """What one pool needs of the connections and what it has, in workers."""

    desired: int  # without a budget
    least: int = 0  # the part of `desired` that the user set by number: minReplicas, or a pin
    needed: int = 0  # the part of `least` that jobs need; what is desired beyond it is for jobs anyway
    busy: int = 0  # run jobs, so they are never removed
    current: int = 0  # running or requested
    leaving: int = 0  # terminating: they hold their connections until they have finished
    connections: int = HELD_BY_WORKER  # per worker

    @property
    def is_nothing(self) -> bool:
        """Whether the pool neither holds nor needs a connection."""
        return not (self.desired or self.current or self.leaving)

    @property
    def held(self) -> int:
        """The number of connections that the pool holds, or will hold once its requested workers are up."""
        return self.connections * (self.current + self.leaving)


def connection_request(
    policy: JobWorkerPoolSpec, reading: Reading | Unreadable, fleet: Fleet, desired: int, *, needed: int = 0
) -> ConnectionRequest:
    """The request of a pool that would have `desired` workers without a budget, and whose jobs need `needed`.

    While the database can't be read, every worker counts as busy.
    """
    up, leaving = _up_and_leaving(fleet)
    return ConnectionRequest(
        desired=desired,
        least=min(desired, _by_number(policy)),
        needed=min(desired, _by_number(policy), needed),
        busy=up if isinstance(reading, Unreadable) else fleet.busy,
        current=max(up, fleet.current_replicas or 0),
        leaving=leaving,
    )


def held_request(fleet: Fleet, connections: int) -> ConnectionRequest:
    """The request of a pool that can't be decided: its workers stay as they are, and none is added or removed."""
    up, leaving = _up_and_leaving(fleet)
    current = max(up, fleet.current_replicas or 0)
    return ConnectionRequest(
        desired=current, least=current, busy=current, current=current, leaving=leaving, connections=connections
    )


def divide(budget: int, requests: Mapping[str, ConnectionRequest]) -> dict[str, int]:
    """How many workers each pool, by UID, may have now, with `budget` connections for all of them.

    20 connections, 2 a worker. `a` needs 8 workers and `b` 3, no worker is up: `b` gets its 3, `a` the other 7.
    Then `c` needs 5 too: the fair shares are 4, 3, 3. `a` goes down to 4, or to its busy ones. `c` gets its first
    worker when the first of `a`'s has ended, and its third when three have.
    """
    if sum(one.connections * (max(one.desired, one.current) + one.leaving) for one in requests.values()) <= budget:
        return {uid: max(one.desired, one.busy) for uid, one in requests.items()}
    busy = {uid: one.busy for uid, one in requests.items()}
    desired = {uid: one.desired for uid, one in requests.items()}
    not_removable = sum(one.connections * (one.busy + one.leaving) for one in requests.values())
    shares = _add_workers(budget - not_removable, requests, busy, desired)
    kept = {uid: min(shares[uid], one.current) for uid, one in requests.items()}
    return _add_workers(budget - sum(one.held for one in requests.values()), requests, kept, shares)


def _up_and_leaving(fleet: Fleet) -> tuple[int, int]:
    present = [pod for pod in fleet.pods if not pod.finished]
    leaving = sum(pod.terminating for pod in present)
    return len(present) - leaving, leaving


class _Next(NamedTuple):
    """Sorts the pools: the smallest gets the next worker. In a tie, the pool with more workers keeps them."""

    workers: int
    minus_current: int
    uid: str


def _by_number(policy: JobWorkerPoolSpec) -> int:
    """The workers that the user sets by number."""
    return policy.min_replicas if policy.replicas is None else policy.replicas


class _Turns:
    """The order in which pools get workers. It does not depend on the budget, so a larger one takes none away.

    There are two queues: a pool waits in that of its least until it has that, and in that of the jobs' needs until it
    has what its jobs need; in both while both are true, for a minReplicas must not be the reason that jobs wait. The
    next worker is of the queue that holds fewer connections: a minReplicas of 10,000 takes half of the budget at most
    while jobs need the other half, and jobs without end leave half for it.
    """

    def __init__(
        self, requests: Mapping[str, ConnectionRequest], start: Mapping[str, int], limits: Mapping[str, int]
    ) -> None:
        self._requests, self._limits = requests, limits
        self.workers = dict(start)
        self._needed: list[_Next] = []
        self._least: list[_Next] = []
        self._held_by_needed = sum(one.connections * max(0, start[uid] - one.least) for uid, one in requests.items())
        self._held_by_least = sum(one.connections * min(start[uid], one.least) for uid, one in requests.items())
        for uid in requests:
            self._wait(uid)

    @property
    def next_uid(self) -> str | None:
        """The pool that gets the next worker; None if no pool needs one."""
        queue = self._next_queue()
        return queue[0].uid if queue else None

    def give(self) -> None:
        """The next pool gets a worker."""
        queue = self._next_queue()
        uid = heapq.heappop(queue).uid  # its place in the other queue is out of date now
        if queue is self._least:
            self._held_by_least += self._requests[uid].connections
        else:
            self._held_by_needed += self._requests[uid].connections
        self.workers[uid] += 1
        self._wait(uid)

    def _next_queue(self) -> list[_Next]:
        for queue in (self._needed, self._least):
            while queue and queue[0].workers != self.workers[queue[0].uid]:
                heapq.heappop(queue)
        needed_first = self._held_by_needed <= self._held_by_least
        first, second = (self._needed, self._least) if needed_first else (self._least, self._needed)
        return first or second

    def _wait(self, uid: str) -> None:
        one, workers = self._requests[uid], self.workers[uid]
        if workers >= self._limits[uid]:
            return
        if workers < one.least:
            heapq.heappush(self._least, _Next(workers, -min(one.current, one.least), uid))
        if workers < one.needed or workers >= one.least:
            heapq.heappush(self._needed, _Next(workers, -one.current, uid))


def _add_workers(
    free: int, requests: Mapping[str, ConnectionRequest], start: Mapping[str, int], limits: Mapping[str, int]
) -> dict[str, int]:
    """Adds one worker at a time to `start`, while `free` connections are left and up to the `limits`.

    Stops at the first worker that does not fit, even if a smaller one would: otherwise large workers starve.
    """
    turns = _Turns(requests, start, limits)
    while (uid := turns.next_uid) is not None:
        free -= requests[uid].connections
        if free < 0:
            break
        turns.give()
    return turns.workers
