"""How the pools of one database share the connections that it has for workers.

Fair, and never more than there are: each pool gets its next worker in turn, those with the fewest first, and a worker
begins only when the connections that it needs are free, not when somebody has been told to give them up.
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
"""One for claims, one for ends and leases. A test counts them on a real server."""

HELD_TO_LISTEN = 1
"""With JOBTIDE_LISTEN=1."""


@dataclass(frozen=True, slots=True)
class ConnectionRequest:
    """What one pool asks for and what it has, in workers."""

    desired: int  # if there were no budget
    least: int = 0  # of these, the ones that the user asked for by number: minReplicas, or a pin
    busy: int = 0  # run jobs: never cut
    current: int = 0  # running, or asked for
    leaving: int = 0  # told to stop: they hold their connections until they have finished
    connections: int = HELD_BY_WORKER  # of one worker

    @property
    def is_nothing(self) -> bool:
        return not (self.desired or self.current or self.leaving)

    @property
    def held(self) -> int:
        return self.connections * (self.current + self.leaving)


def connection_request(
    policy: JobWorkerPoolSpec, reading: Reading | Unreadable, fleet: Fleet, desired: int
) -> ConnectionRequest:
    """A pool's, which would have `want` workers without a budget. Unread, every worker counts as busy."""
    present = [pod for pod in fleet.pods if not pod.finished]
    leaving = sum(pod.terminating for pod in present)
    up = len(present) - leaving
    return ConnectionRequest(
        desired=desired,
        least=min(desired, policy.min_replicas if policy.replicas is None else policy.replicas),
        busy=up if isinstance(reading, Unreadable) else fleet.busy,
        current=max(up, fleet.current_replicas or 0),
        leaving=leaving,
        connections=HELD_BY_WORKER + HELD_TO_LISTEN * listens(policy),
    )


def divide(budget: int, requests: Mapping[str, ConnectionRequest]) -> dict[str, int]:
    """How many workers each pool may have now.

    20 connections, 2 a worker. `a` wants 8 workers and `b` 3, none is up: `b` gets its 3, `a` the other 7.
    Then `c` wants 5 too: the fair shares are 4, 3, 3. `a` goes down to 4, or to its busy ones, and `c` gets its
    first worker when the first of `a`'s has ended, and has its 3 when three have.
    """
    if sum(one.connections * (max(one.desired, one.current) + one.leaving) for one in requests.values()) <= budget:
        return {uid: max(one.desired, one.busy) for uid, one in requests.items()}
    unmoved = sum(one.connections * (one.busy + one.leaving) for one in requests.values())
    busy = {uid: one.busy for uid, one in requests.items()}
    shares = _filled(budget - unmoved, requests, busy, {uid: one.desired for uid, one in requests.items()})
    kept = {uid: min(shares[uid], one.current) for uid, one in requests.items()}
    return _filled(budget - sum(one.held for one in requests.values()), requests, kept, shares)


class _Turn(NamedTuple):
    """Who is next: the smallest. A tie goes to the pool that has more already, so that nothing moves for a tie."""

    has_least: bool
    workers: int
    lacks: int
    uid: str


def _filled(
    free: int, requests: Mapping[str, ConnectionRequest], start: Mapping[str, int], limits: Mapping[str, int]
) -> dict[str, int]:
    """One worker in each turn, until the next does not fit: nobody overtakes because he is smaller."""
    given = dict(start)
    turns = [_turn(uid, one, given[uid]) for uid, one in requests.items() if given[uid] < limits[uid]]
    heapq.heapify(turns)
    while turns:
        uid = turns[0].uid
        free -= requests[uid].connections
        if free < 0:
            break
        given[uid] += 1
        heapq.heappop(turns)
        if given[uid] < limits[uid]:
            heapq.heappush(turns, _turn(uid, requests[uid], given[uid]))
    return given


def _turn(uid: str, one: ConnectionRequest, workers: int) -> _Turn:
    return _Turn(workers >= one.least, workers, -one.current, uid)


LISTEN_ENV = "JOBTIDE_LISTEN"


def listens(spec: JobWorkerPoolSpec) -> bool:
    """Whether the pool's workers keep a connection for notifications; a value from elsewhere counts as yes."""
    return any(
        entry["name"] == LISTEN_ENV and entry.get("value", "1") not in ("", "0")
        for container in spec.template["spec"]["containers"]
        if container["name"] == "worker"
        for entry in container.get("env", ())
    )
