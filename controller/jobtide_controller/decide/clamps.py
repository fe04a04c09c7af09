"""The limits of the number of workers: named rules in a fixed order, each with its own number.

First the rules for the recommended number, then those for scaling down to it, then the user's overrides. A rule that
changes the result is in the decision's `limited_by`, so that a user sees why it is not what the promise requires.
docs/adr/2026-11-24-scaling-law.md has the order and the reasons.
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

# A type with less of each counts as unknown. Both: the first reading of tiny jobs sees slots in use, and few ends.
COLD_SLOT_SECONDS, COLD_JOBS = 3.0, 10.0
COLD_RUN_SECONDS = 2.0
COLD_STEP_MIN = 4
STEP_DOWN_PART = 0.1  # of the workers; a smaller step down is soon taken back
FAILING_SECONDS = 10.0  # from the first failure to the latest, before the pool counts as failing


class ClampName(StrEnum):
    """The rules that may change the number of workers, as status.limitedBy names them."""

    UNREADABLE = "Unreadable"
    NOT_ALLOWED = "NamespaceNotAllowed"
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
    """One rule that changed the result, in workers."""

    name: ClampName
    before: int
    after: int
    limit: float  # the rule's own number: maxReplicas, the budget, the busy workers ...
    window: str | None = None  # the window by the clock that sets it; None: the pool's own


@dataclass(frozen=True, slots=True)
class Limited:
    """A number of workers, and the rules that changed it, in order."""

    replicas: int
    by: tuple[Clamp, ...]


Ruling = tuple[int, float] | None
"""The number of workers after a rule, and the rule's own number; None if the rule does not apply."""

Rule = Callable[[Situation, Numbers, int], Ruling]


def recommend(situation: Situation, numbers: Numbers) -> Limited:
    """The recommended number of workers, if the database had connections for all of them."""
    return _limited(_RECOMMEND_RULES, situation, numbers, numbers.required)


def within_share(recommended: Limited, share: Share | None) -> Limited:
    """Applied after minReplicas: workers without a connection help no pool and harm all others."""
    if share is None or recommended.replicas <= share.workers:
        return recommended
    return Limited(share.workers, (*recommended.by, _budget_clamp(recommended.replicas, share)))


def limit_scale_down(situation: Situation, numbers: Numbers, recommended: int) -> Limited:
    """How far this decision may scale down to `recommended`, which the situation's history already has."""
    return _limited(_SCALE_DOWN_RULES, situation, numbers, recommended)


def override(policy: JobWorkerPoolSpec, share: Share | None, now: float, replicas: int) -> Limited:
    """The user's pin and pause; they take effect without a reading too.

    The connection budget limits a pin as well: the operator of the database sets it for all pools.
    """
    clamps: list[Clamp] = []
    if policy.replicas is not None and policy.replicas != replicas:
        clamps.append(Clamp(ClampName.PINNED, replicas, policy.replicas, policy.replicas))
        replicas = policy.replicas
        if share is not None and replicas > share.workers:
            clamps.append(_budget_clamp(replicas, share))
            replicas = share.workers
    if is_paused(policy, now) and replicas != 0:
        clamps.append(Clamp(ClampName.PAUSED, replicas, 0, 0))
        replicas = 0
    return Limited(replicas, tuple(clamps))


def is_paused(policy: JobWorkerPoolSpec, now: float) -> bool:
    """Whether the pool is paused at `now`, in seconds since the epoch."""
    if policy.paused_until is None:
        return policy.paused
    return policy.paused and datetime.fromtimestamp(now, UTC) < policy.paused_until


def is_failing(situation: Situation) -> bool:
    """Whether failures, and no success, were seen over FAILING_SECONDS or more.

    Time alone is no evidence: after a single failure it would pass while no attempt ends, or none that is looked at.
    """
    failing = situation.history.failing
    return failing is not None and failing.last_at - failing.since >= FAILING_SECONDS


def _limited(rules: Sequence[tuple[ClampName, Rule]], situation: Situation, numbers: Numbers, replicas: int) -> Limited:
    clamps: list[Clamp] = []
    for name, rule in rules:
        ruling = rule(situation, numbers, replicas)
        if ruling is not None and ruling[0] != replicas:
            clamps.append(Clamp(name, replicas, *ruling))
            replicas = ruling[0]
    return Limited(replicas, tuple(clamps))


def _budget_clamp(replicas: int, share: Share) -> Clamp:
    return Clamp(ClampName.CONNECTION_BUDGET, replicas, share.workers, share.workers)


def _cold_start(situation: Situation, numbers: Numbers, replicas: int) -> Ruling:
    """Jobs of unknown types may last a second or an hour: one slot for each job, up to a cautious step.

    100 unknown rows at 4 a worker, no worker ready, max 40: 25 workers would run them all at once, the step is 10.
    """
    if numbers.per_worker or not _all_waiting_types_unknown(situation):
        return None
    slot_for_each = ceil((startable(situation) + numbers.running) / numbers.concurrency)
    step = numbers.ready + max(COLD_STEP_MIN, ceil(situation.policy.max_replicas / 4))
    limit = max(numbers.current_replicas, step)
    return min(max(replicas, slot_for_each), limit), limit


def _all_waiting_types_unknown(situation: Situation) -> bool:
    waiting = {key.type for key, depth in situation.reading.depths.items() if depth.due}
    learned = [situation.history.learned(type_) for type_ in waiting]
    return bool(learned) and all(
        type_.slot_seconds < COLD_SLOT_SECONDS and type_.jobs < COLD_JOBS and type_.ran_seconds < COLD_RUN_SECONDS
        for type_ in learned
    )


def _all_failing(situation: Situation, numbers: Numbers, replicas: int) -> Ruling:
    """Holds only with `onAllFailing: Hold`; at least one worker keeps trying."""
    if situation.policy.on_all_failing is not OnAllFailing.HOLD or not is_failing(situation):
        return None
    limit = max(1, numbers.current_replicas)
    return min(replicas, limit), limit


def _max_replicas(situation: Situation, numbers: Numbers, replicas: int) -> Ruling:
    del numbers
    return min(replicas, situation.policy.max_replicas), situation.policy.max_replicas


def _min_replicas(situation: Situation, numbers: Numbers, replicas: int) -> Ruling:
    del numbers
    return max(replicas, situation.policy.min_replicas), situation.policy.min_replicas


def _stabilization(situation: Situation, numbers: Numbers, replicas: int) -> Ruling:
    """Scales down to the highest recommendation within the hold: in a wave's low, workers stay for its next high.

    A step of less than a tenth waits until it is greater, except to the minimum or below a lowered maximum: 24 stay
    for 22, and become 21.
    """
    if replicas >= numbers.current_replicas:
        return None
    share = situation.share
    most = situation.policy.max_replicas if share is None else min(situation.policy.max_replicas, share.workers)
    held = max(replicas, min(highest_recent(situation.history), most))
    step = numbers.current_replicas - held
    is_small = step < STEP_DOWN_PART * numbers.current_replicas
    if is_small and held > situation.policy.min_replicas and numbers.current_replicas <= most:
        held = numbers.current_replicas
    return min(numbers.current_replicas, held), numbers.hold_seconds


def _busy_workers(situation: Situation, numbers: Numbers, replicas: int) -> Ruling:
    """Removes only workers that have nothing to do, even if maxReplicas was lowered.

    Each waiting job counts as one more busy worker, since an idle one may claim it before Kubernetes removes that
    worker: 4 are busy, 3 idle and 2 jobs wait: 6 are kept.
    """
    if replicas >= numbers.current_replicas:
        return None
    fleet = situation.fleet
    kept = max(numbers.busy, fleet.min_replicas_for_busy) + min(fleet.may_claim, ceil(startable(situation)))
    return max(replicas, min(kept, numbers.current_replicas)), kept


_RECOMMEND_RULES: tuple[tuple[ClampName, Rule], ...] = (
    (ClampName.COLD_START, _cold_start),
    (ClampName.ALL_FAILING, _all_failing),
    (ClampName.MAX_REPLICAS, _max_replicas),
    (ClampName.MIN_REPLICAS, _min_replicas),
)

_SCALE_DOWN_RULES: tuple[tuple[ClampName, Rule], ...] = (
    (ClampName.STABILIZATION, _stabilization),
    (ClampName.BUSY_WORKERS, _busy_workers),
)
