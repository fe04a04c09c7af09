"""What waits now, and the slots that it needs within the time that is left to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec, Tenants
from jobtide_controller.decide.arithmetic import clamp
from jobtide_controller.decide.fleet import Fleet, Share
from jobtide_controller.decide.history import History
from jobtide_controller.decide.learn import estimated_due
from jobtide_controller.decide.reading import Depth, Reading

PROMISE_USED = 0.8  # the part of the promise that is planned with; the rest is for what nobody can know
PROMISE_LEFT = 0.2  # rows that are late already get this part of it, not nothing
TIME_LEFT_MIN_SECONDS = 0.5
WAKE_EARLY_SECONDS = 1.0  # a scheduled row's worker is asked for so much before its usual start time


class Need(NamedTuple):
    """Slots that the rows which wait now need within the time that is left to them."""

    occupied_slots: float  # still held by the jobs that run
    queue_slots: float

    @property
    def slots(self) -> float:
        return self.occupied_slots + self.queue_slots


def need(situation: Situation, lead_seconds: float) -> Need:
    """Slots for the rows that wait, if those that come up start working after `lead_seconds`.

    3,000 rows of 1 s, all just come, promise 30 s: 24 s are left, so each slot does 24 of them: 125 slots.
    100 rows of 60 s: a slot does not finish one in time, so each row needs its own: 100 slots.
    """
    promise = situation.policy.wait_seconds
    occupied = 0.0
    queue: dict[str, float] = {}
    running: dict[str, int] = {}
    for key, depth in situation.reading.depths.items():
        seconds_left = max(
            PROMISE_USED * promise - youngest_age(depth) - lead_seconds,
            PROMISE_LEFT * promise,
            TIME_LEFT_MIN_SECONDS,
        )
        share = situation.history.learned(key.type).service_seconds / seconds_left
        # Of the time left, the part in which jobs that run now still hold their slots, if they end at random.
        occupied += depth.running * share * (1.0 - math.exp(-1.0 / share))
        rows = estimated_due(key, depth, situation.history)
        queue[key.tenant_id] = queue.get(key.tenant_id, 0.0) + min(rows, rows * share)
        running[key.tenant_id] = running.get(key.tenant_id, 0) + depth.running
    return Need(occupied, _within_caps(situation.policy.tenants, queue, running))


def youngest_age(depth: Depth) -> float:
    """Of the due rows, if their ages are spread evenly. Mean 4 s and oldest 6 s: 2 s. Counting stopped: 6 s."""
    oldest = depth.oldest_age_seconds
    return oldest if depth.capped else clamp(2.0 * depth.mean_age_seconds - oldest, 0.0, oldest)


def is_awake(situation: Situation) -> bool:
    """Whether there is work for a worker by the time that it is up."""
    horizon = situation.reading.taken_at + situation.fleet.start_seconds + WAKE_EARLY_SECONDS
    return any(
        depth.due > 0 or (depth.next_due_at is not None and depth.next_due_at <= horizon)
        for depth in situation.reading.depths.values()
    )


def startable(situation: Situation) -> float:
    """Rows that wait, tenants with a cap only up to it."""
    queue: dict[str, float] = {}
    running: dict[str, int] = {}
    for key, depth in situation.reading.depths.items():
        queue[key.tenant_id] = queue.get(key.tenant_id, 0.0) + estimated_due(key, depth, situation.history)
        running[key.tenant_id] = running.get(key.tenant_id, 0) + depth.running
    return _within_caps(situation.policy.tenants, queue, running)


def _within_caps(tenants: Tenants, queue: Mapping[str, float], running: Mapping[str, int]) -> float:
    """Exact sum: the order in which tenants come must not change a whole worker."""
    return math.fsum(
        min(slots, max(0.0, slots_cap(tenants, tenant) - running[tenant])) for tenant, slots in queue.items()
    )


@dataclass(frozen=True, slots=True)
class Situation:
    """The pool, its table, its workers and its past, as every formula takes them."""

    policy: JobWorkerPoolSpec
    reading: Reading
    fleet: Fleet
    history: History  # this reading included
    now: float  # the controller's clock; the reading has the database's
    share: Share | None = None  # of the database's connection budget; None: there is no budget


def slots_cap(tenants: Tenants, tenant_id: str | None) -> float:
    """Jobs at once that a tenant may have; those counted together have no limit."""
    cap = None if tenant_id is None else tenants.cap_of(tenant_id)
    return math.inf if cap is None else float(cap)
