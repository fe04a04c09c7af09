"""What limits the number of workers: named rules in a fixed order, each with its own number.

First the rules about how many there should be, then those about how to get there. A rule that changes the
result is in the decision's `limited_by`, so that a user reads why it is not what the promise needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec, OnAllFailing
from jobtide_controller.decide.arithmetic import ceil
from jobtide_controller.decide.fleet import Share
from jobtide_controller.decide.history import highest_recent
from jobtide_controller.decide.need import Situation, startable
from jobtide_controller.decide.required import Numbers

COLD_EVIDENCE = 10.0  # seconds of running plus jobs ended, below which a type counts as unknown
COLD_RUN_SECONDS = 5.0
COLD_STEP_MIN = 4
FAILING_SECONDS = 10.0  # so long must nothing but failures be seen before it is said


class ClampName(StrEnum):
    UNREADABLE = "Unreadable"
    COLD_START = "ColdStart"
    ALL_FAILING = "AllFailing"
    MAX_REPLICAS = "MaxReplicas"
    MIN_REPLICAS = "MinReplicas"
    CONNECTION_BUDGET = "ConnectionBudget"
    STABILIZATION = "Stabilization"
    BUSY_WORKERS = "BusyWorkers"
    PINNED = "Pinned"
    PAUSED = "Paused"


@dataclass(frozen=True, slots=True)
class Clamp:
    """One rule that changed the result."""

    name: ClampName
    before: int
    after: int
    limit: float  # the rule's own number: maxReplicas, the budget, the busy workers ...


@dataclass(frozen=True, slots=True)
class Limited:
    replicas: int
    by: tuple[Clamp, ...]


Ruling = tuple[int, float] | None
"""The number of workers after a rule and the rule's own number; None where it does not apply."""

Rule = Callable[[Situation, Numbers, int], Ruling]


def size(situation: Situation, numbers: Numbers) -> Limited:
    """How many workers there should be, if the database had connections for all of them."""
    return _limited(_SIZE_RULES, situation, numbers, numbers.raw)


def share_out(sized: Limited, share: Share | None) -> Limited:
    """After minReplicas: a connection that the server does not have helps no pool, and harms all others."""
    if share is None or sized.replicas <= share.workers:
        return sized
    clamp = Clamp(ClampName.CONNECTION_BUDGET, sized.replicas, share.workers, share.workers)
    return Limited(share.workers, (*sized.by, clamp))


def move(situation: Situation, numbers: Numbers, wanted: int) -> Limited:
    """How far towards it this decision may go; the situation's history has `wanted` in it already."""
    return _limited(_MOVE_RULES, situation, numbers, wanted)


def override(policy: JobWorkerPoolSpec, share: Share | None, now: float, wanted: int) -> Limited:
    """What the user said, which needs no reading and so holds without one too.

    A budget holds against a pin as well: it is the word of whoever runs the database, for all its pools.
    """
    clamps: list[Clamp] = []
    if policy.replicas is not None and policy.replicas != wanted:
        clamps.append(Clamp(ClampName.PINNED, wanted, policy.replicas, policy.replicas))
        wanted = policy.replicas
        if share is not None and wanted > share.workers:
            clamps.append(Clamp(ClampName.CONNECTION_BUDGET, wanted, share.workers, share.workers))
            wanted = share.workers
    if is_paused(policy, now) and wanted != 0:
        clamps.append(Clamp(ClampName.PAUSED, wanted, 0, 0))
        wanted = 0
    return Limited(wanted, tuple(clamps))


def is_paused(policy: JobWorkerPoolSpec, now: float) -> bool:
    if policy.paused_until is None:
        return policy.paused
    return policy.paused and datetime.fromtimestamp(now, UTC) < policy.paused_until


def is_failing(situation: Situation) -> bool:
    """Every attempt has failed for long enough to say so. While a database fails all jobs, S stays as it was."""
    failing = situation.history.failing
    return failing is not None and situation.reading.taken_at - failing.since >= FAILING_SECONDS


def _limited(rules: Sequence[tuple[ClampName, Rule]], situation: Situation, numbers: Numbers, wanted: int) -> Limited:
    clamps: list[Clamp] = []
    for name, rule in rules:
        ruling = rule(situation, numbers, wanted)
        if ruling is not None and ruling[0] != wanted:
            clamps.append(Clamp(name, wanted, *ruling))
            wanted = ruling[0]
    return Limited(wanted, tuple(clamps))


def _cold_start(situation: Situation, numbers: Numbers, wanted: int) -> Ruling:
    """Jobs that nobody has seen end may last a second or an hour: a slot for each, up to a cautious step.

    100 unknown rows at 4 a worker, none up, max 40: 25 workers would hold them all, the step is 10.
    """
    if numbers.per_worker or not _all_waiting_types_unknown(situation):
        return None
    slot_for_each = ceil((numbers.due + numbers.running) / numbers.concurrency)
    step = numbers.ready + max(COLD_STEP_MIN, ceil(situation.policy.max_replicas / 4))
    limit = max(numbers.current_replicas, step)
    return min(max(wanted, slot_for_each), limit), limit


def _all_waiting_types_unknown(situation: Situation) -> bool:
    waiting = {key.type for key, depth in situation.reading.depths.items() if depth.due}
    learned = [situation.history.learned(type_) for type_ in waiting]
    return bool(learned) and all(
        type_.evidence < COLD_EVIDENCE and type_.ran_seconds < COLD_RUN_SECONDS for type_ in learned
    )


def _all_failing(situation: Situation, numbers: Numbers, wanted: int) -> Ruling:
    """Only where the user asked for it; one worker goes on trying."""
    if situation.policy.on_all_failing is not OnAllFailing.HOLD or not is_failing(situation):
        return None
    limit = max(1, numbers.current_replicas)
    return min(wanted, limit), limit


def _max_replicas(situation: Situation, numbers: Numbers, wanted: int) -> Ruling:
    del numbers
    return min(wanted, situation.policy.max_replicas), situation.policy.max_replicas


def _min_replicas(situation: Situation, numbers: Numbers, wanted: int) -> Ruling:
    del numbers
    return max(wanted, situation.policy.min_replicas), situation.policy.min_replicas


def _stabilization(situation: Situation, numbers: Numbers, wanted: int) -> Ruling:
    """Down only to the highest number of the last hold: a wave's trough keeps the workers for its next crest."""
    if wanted >= numbers.current_replicas:
        return None
    share = situation.share
    most = situation.policy.max_replicas if share is None else min(situation.policy.max_replicas, share.workers)
    held = min(highest_recent(situation.history), most)
    return min(numbers.current_replicas, max(wanted, held)), numbers.hold_seconds


def _busy_workers(situation: Situation, numbers: Numbers, wanted: int) -> Ruling:
    """Down only by workers that have nothing to do, even where maxReplicas was lowered.

    Each job that waits finds a worker before Kubernetes takes it: 4 are busy, 3 idle and 2 jobs wait: 6 are kept.
    """
    if wanted >= numbers.current_replicas:
        return None
    fleet = situation.fleet
    kept = max(numbers.busy, fleet.kept_by_busy) + min(fleet.takers, ceil(startable(situation)))
    return max(wanted, min(kept, numbers.current_replicas)), kept


_SIZE_RULES: tuple[tuple[ClampName, Rule], ...] = (
    (ClampName.COLD_START, _cold_start),
    (ClampName.ALL_FAILING, _all_failing),
    (ClampName.MAX_REPLICAS, _max_replicas),
    (ClampName.MIN_REPLICAS, _min_replicas),
)

_MOVE_RULES: tuple[tuple[ClampName, Rule], ...] = (
    (ClampName.STABILIZATION, _stabilization),
    (ClampName.BUSY_WORKERS, _busy_workers),
)
