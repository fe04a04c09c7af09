"""The reason of a decision in one word, and notes for the user that do not change it."""

from __future__ import annotations

from enum import StrEnum

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide import clamps
from jobtide_controller.decide.clamps import Clamp, ClampName
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.need import PROMISE_USED, Situation, startable
from jobtide_controller.decide.required import Numbers

LATE_KEPT_SECONDS = 60.0  # how long a late job is reported


class Reason(StrEnum):
    """The decision in one word."""

    UNREADABLE = "Unreadable"
    NOT_ALLOWED = "NamespaceNotAllowed"
    PAUSED = "Paused"
    PINNED = "Pinned"
    SCALING_UP = "ScalingUp"
    SCALING_DOWN = "ScalingDown"
    CAPPED_BY_CONNECTIONS = "CappedByConnections"
    CAPPED_BY_MAX = "CappedByMax"
    CAPPED_BY_TENANT = "CappedByTenant"
    ALL_FAILING = "AllFailing"
    STABILIZING = "Stabilizing"
    IDLE = "Idle"
    STEADY = "Steady"


class Note(StrEnum):
    """A fact for the user that does not change the decision."""

    PROMISE_BELOW_START = "PromiseBelowStart"
    PROMISE_MISSED = "PromiseMissed"
    ALL_FAILING = "AllFailing"


def reason_of(situation: Situation, numbers: Numbers, replicas: int, limits: tuple[Clamp, ...]) -> Reason:
    """Why the pool should have `replicas` workers; `limits` are the clamps of the recommendation."""
    overridden = override_reason(situation.policy, situation.now)
    if overridden is not None:
        return overridden
    if replicas < numbers.current_replicas:
        return Reason.SCALING_DOWN
    if replicas > numbers.ready:
        return Reason.SCALING_UP
    lowered_by = {clamp.name for clamp in limits if clamp.after < clamp.before}
    return _unchanged_reason(situation, numbers, replicas, lowered_by)


def _unchanged_reason(situation: Situation, numbers: Numbers, replicas: int, lowered_by: set[ClampName]) -> Reason:
    """Why the number of workers stays as it is."""
    for name, reason in _CAPPED:
        if name in lowered_by:
            return reason
    if not (numbers.due or numbers.running) and replicas <= situation.policy.min_replicas:
        return Reason.IDLE
    if replicas > max(numbers.required, situation.policy.min_replicas):
        return Reason.STABILIZING
    if _is_capped_by_tenant(situation):
        return Reason.CAPPED_BY_TENANT
    return Reason.STEADY


# The last limit that lowered the number is the effective one, so they are in reverse order.
_CAPPED = (
    (ClampName.CONNECTION_BUDGET, Reason.CAPPED_BY_CONNECTIONS),
    (ClampName.MAX_REPLICAS, Reason.CAPPED_BY_MAX),
    (ClampName.ALL_FAILING, Reason.ALL_FAILING),
)


def _is_capped_by_tenant(situation: Situation) -> bool:
    """Whether rows wait that no worker may start, because their tenants are at their caps."""
    due = sum(depth.due for depth in situation.reading.depths.values())
    return due > 0 and startable(situation) < due


def override_reason(policy: JobWorkerPoolSpec, now: float) -> Reason | None:
    """Paused or Pinned, if the user overrides the number of workers; else None."""
    if clamps.is_paused(policy, now):
        return Reason.PAUSED
    return Reason.PINNED if policy.replicas is not None else None


def notes_of(situation: Situation, numbers: Numbers) -> tuple[Note, ...]:
    """All notes that apply."""
    notes = start_note(situation.policy, numbers, situation.fleet)
    if situation.history.late_at is not None:
        notes = (*notes, Note.PROMISE_MISSED)
    return (*notes, Note.ALL_FAILING) if clamps.is_failing(situation) else notes


def start_note(policy: JobWorkerPoolSpec, numbers: Numbers, fleet: Fleet) -> tuple[Note, ...]:
    """A burst at zero workers waits for one to start: a promise shorter than that needs minReplicas.

    Only if a start was measured: else every new pool with a short promise would have the note.
    """
    if policy.jobs_per_worker is not None or policy.min_replicas or not fleet.start_known:
        return ()
    is_below = PROMISE_USED * policy.all_promises[0] <= numbers.start_seconds
    return (Note.PROMISE_BELOW_START,) if is_below else ()


def late_at(policy: JobWorkerPoolSpec, before: float | None, now: float, *, is_late: bool) -> float | None:
    """When a job was last late, by the controller's clock; `before` is the previous value.

    It is kept for a minute: waits that vary around the promise would change the condition each time.
    """
    if policy.jobs_per_worker is not None:
        return None
    if is_late:
        return now
    return before if before is not None and 0 <= now - before < LATE_KEPT_SECONDS else None
