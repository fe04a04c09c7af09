"""The slots that the waiting rows need to start within what is left of the promise.

docs/adr/2026-11-24-scaling-law.md says how the constants were measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec, Tenants
from jobtide_controller.decide.arithmetic import clamp, usable
from jobtide_controller.decide.fallen_due import cap_of
from jobtide_controller.decide.fleet import Fleet, Share
from jobtide_controller.decide.history import History
from jobtide_controller.decide.learn import estimated_due
from jobtide_controller.decide.reading import Depth, Key, Reading

PROMISE_USED = 0.8  # the part of the promise to plan with; the rest is for what can't be foreseen
PROMISE_LEFT = 0.2  # the part of the promise that late rows are still given
TIME_LEFT_MIN_SECONDS = 0.5
WAKE_EARLY_SECONDS = 1.0  # added to the start time when a worker is requested for a scheduled row


class Need(NamedTuple):
    """Slots that running and waiting jobs need."""

    occupied_slots: float  # that running jobs still hold, on average over the time left
    queue_slots: float  # that waiting rows need to start in the time left

    @property
    def slots(self) -> float:
        return self.occupied_slots + self.queue_slots


def need(situation: Situation, lead_seconds: float) -> Need:
    """The slots needed, if additional workers start to work after `lead_seconds`.

    3,000 rows of 1 s, all just arrived, promise 30 s: 24 s are left, so each slot runs 24 of them: 125 slots.
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
        # The part of the time left in which running jobs still hold their slots, if they end at random.
        occupied += depth.running * share * (1.0 - math.exp(-1.0 / share))
        rows = estimated_due(key, depth, situation.history)
        slots = within_type_cap(situation.policy.tenants, key, depth, min(rows, rows * share))
        queue[key.tenant_id] = queue.get(key.tenant_id, 0.0) + slots
        running[key.tenant_id] = running.get(key.tenant_id, 0) + depth.running
    return Need(occupied, _within_caps(situation.policy.tenants, queue, running))


def youngest_age(depth: Depth) -> float:
    """Seconds that the youngest row has been due, if ages are spread evenly, or the oldest if counting stopped.

    Mean 4 s and oldest 6 s: 2 s. Counting stopped: 6 s.
    """
    oldest, mean = usable(depth.oldest_age_seconds), usable(depth.mean_age_seconds)
    return oldest if depth.capped else clamp(2.0 * mean - oldest, 0.0, oldest)


def is_awake(situation: Situation) -> bool:
    """Whether a row is due, or will be when a worker requested now is up. Rows of paused tenants wake no worker."""
    horizon = situation.reading.taken_at + situation.fleet.start_seconds + WAKE_EARLY_SECONDS
    return any(
        (depth.due > 0 or (depth.next_due_at is not None and depth.next_due_at <= horizon))
        and not is_paused(situation.policy.tenants, key)
        for key, depth in situation.reading.depths.items()
    )


def startable(situation: Situation) -> float:
    """The number of due rows that may start, for each tenant with a cap at most what the cap leaves."""
    queue: dict[str, float] = {}
    running: dict[str, int] = {}
    for key, depth in situation.reading.depths.items():
        rows = within_type_cap(situation.policy.tenants, key, depth, estimated_due(key, depth, situation.history))
        queue[key.tenant_id] = queue.get(key.tenant_id, 0.0) + rows
        running[key.tenant_id] = running.get(key.tenant_id, 0) + depth.running
    return _within_caps(situation.policy.tenants, queue, running)


def within_type_cap(tenants: Tenants, key: Key, depth: Depth, rows: float) -> float:
    """At most what a limit of this type leaves to the tenant."""
    cap = tenants.type_cap_of(key.type, key.tenant_id)
    return rows if cap is None else min(rows, max(0.0, cap - depth.running))


def is_paused(tenants: Tenants, key: Key) -> bool:
    """Whether no job of the key may start, until its limit is raised or ends."""
    return slots_cap(tenants, key.tenant_id) == 0 or tenants.type_cap_of(key.type, key.tenant_id) == 0


def oldest_due(tenants: Tenants, depths: Iterable[tuple[Key, Depth]]) -> float | None:
    """For how long the oldest due row has been due; None if none is. What a user paused misses no promise."""
    has_pause = tenants.has_pause  # most pools have none, and a reading may have thousands of keys
    ages = (
        usable(depth.oldest_age_seconds)
        for key, depth in depths
        if depth.due and not (has_pause and is_paused(tenants, key))
    )
    return max(ages, default=None)


def _within_caps(tenants: Tenants, queue: Mapping[str, float], running: Mapping[str, int]) -> float:
    """The sum for all tenants, each within its cap. It is exact, so that the order of tenants changes no worker."""
    return math.fsum(
        min(slots, max(0.0, slots_cap(tenants, tenant) - running[tenant])) for tenant, slots in queue.items()
    )


@dataclass(frozen=True, slots=True)
class Situation:
    """The pool, its reading, its workers and its past: the arguments of every formula."""

    policy: JobWorkerPoolSpec
    reading: Reading
    fleet: Fleet
    history: History  # including this reading
    now: float  # the controller's clock; the reading has the database's
    share: Share | None = None  # of the database's connection budget; None: there is no budget


def slots_cap(tenants: Tenants, tenant_id: str | None) -> float:
    """The jobs that a tenant may run at once; infinite without a cap, and for None (tenants counted together)."""
    cap = None if tenant_id is None else cap_of(tenants, tenant_id)
    return math.inf if cap is None else float(cap)
