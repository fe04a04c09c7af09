"""The lasting load: the slots that steady arrivals keep busy, and the workers for them.

docs/adr/2026-11-24-scaling-law.md says how the constants were measured.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide import arrival_rate
from jobtide_controller.decide.arithmetic import ceil, clamp
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.need import Situation, slots_cap

SHORT_WORKERS = 0.25  # with short jobs this may be missing: the backlog term compensates
BAND_WORKERS = 0.15  # the load must change by this much before the number of workers follows
HOLD_MIN_SECONDS, HOLD_MAX_SECONDS = 10.0, 60.0
WARM_MIN_SECONDS = 30.0  # how long at least a worker stays for the next row


class Load(NamedTuple):
    """What arrives steadily."""

    slots: float  # in use on average, for each tenant at most its cap
    rows_per_second: float
    service_seconds: float  # Sm: mean over the slots in use, so long jobs weigh more
    silence_seconds: float  # since the latest row


NO_LOAD = Load(slots=0.0, rows_per_second=0.0, service_seconds=0.0, silence_seconds=math.inf)


def lasting_load(situation: Situation) -> Load:
    """Slots in use on average: rate times service time, by Little's law. 4 rows/s of 2 s: 8 slots.

    A tenant with a cap counts for no more than its cap: at most 16 slots with a cap of 16.
    """
    tenants = situation.policy.tenants
    # A clock set back must not make the latest rows newer than now: the rate would grow.
    now = max(situation.reading.taken_at, situation.history.read_at or 0.0)
    slots: dict[str | None, float] = {}
    rows_per_second = weighted = total = 0.0
    for group, pieces in situation.history.flow.items():
        service = situation.history.learned(group.type).load_service_seconds
        rate = arrival_rate.rate(pieces, service_seconds=service, began_at=situation.history.began_at, now=now)
        rows_per_second += rate
        total += rate * service
        weighted += rate * service * service
        cap = None if group.tenant_id is None else tenants.type_cap_of(group.type, group.tenant_id)
        used = rate * service if cap is None else min(rate * service, cap)
        slots[group.tenant_id] = slots.get(group.tenant_id, 0.0) + used
    return Load(
        slots=math.fsum(min(used, slots_cap(tenants, tenant)) for tenant, used in slots.items()),
        rows_per_second=rows_per_second,
        service_seconds=weighted / total if total > 0 else 0.0,
        silence_seconds=min(
            (arrival_rate.silence(pieces, now) for pieces in situation.history.flow.values()), default=math.inf
        ),
    )


def hold(policy: JobWorkerPoolSpec, fleet: Fleet, load: Load) -> float:
    """The hold: seconds for which a lower number must be enough before scaling down.

    Twice the start of a worker or a quarter of a job, at least 10 s and at most 60 s, unless the user sets it.
    Start 5.7 s, jobs of 1 s: 11.4 s. Jobs of 60 s: 15 s.
    """
    if policy.scale_down.stabilization_seconds is not None:
        return float(policy.scale_down.stabilization_seconds)
    learned = max(2.0 * fleet.start_seconds, load.service_seconds / 4.0)
    return clamp(learned, HOLD_MIN_SECONDS, HOLD_MAX_SECONDS)


def load_has_ended(situation: Situation, load: Load, hold_seconds: float) -> bool:
    """Whether nothing waits or runs, and the next row is not expected soon enough to keep a worker for it.

    With a hold of 12 s a worker stays for up to 36 s, if a row is expected in 36 s or less.
    """
    if any(depth.due or depth.running for depth in situation.reading.depths.values()):
        return False
    warm_seconds = max(WARM_MIN_SECONDS, 3.0 * hold_seconds)
    return load.silence_seconds > warm_seconds or load.rows_per_second * warm_seconds < 1.0


def base(load_slots: float, service_seconds: float, promise: float) -> float:
    """The load in slots with headroom for random peaks. Only long jobs need it: short ones soon find a free slot.

    9 slots of 1 s at a promise of 30 s: 9 + 3 * 1/90 = 9.03. Of 60 s: 9 + 3 * 60/90 = 11.
    """
    return load_slots + math.sqrt(load_slots) * min(1.0, service_seconds / (3.0 * promise))


def band(base_slots: float, service_seconds: float, promise: float, concurrency: int) -> tuple[int, int]:
    """The lowest and the highest number of workers for the base; within this band the current number stays.

    9.03 slots of short jobs at 4 a worker: 2.26 - 0.24 = 2.02, so at least 3; 2.02 + 0.15, so at most 3.
    """
    if base_slots <= 0:
        return 0, 0
    tail = SHORT_WORKERS * (1.0 - min(1.0, service_seconds / promise))
    workers = base_slots / concurrency - tail
    return max(1, ceil(workers)), max(1, ceil(workers + BAND_WORKERS))
