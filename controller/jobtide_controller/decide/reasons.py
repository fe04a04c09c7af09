"""A decision in one word, and what else a user should know about it."""

from __future__ import annotations

from enum import StrEnum

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide import clamps
from jobtide_controller.decide.clamps import Clamp, ClampName
from jobtide_controller.decide.need import PROMISE_USED, Situation, startable
from jobtide_controller.decide.required import Numbers

LATE_KEPT_SECONDS = 60.0


class Reason(StrEnum):
    """The decision in one word."""

    UNREADABLE = "Unreadable"
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
    """What a user should know, though it changes nothing."""

    PROMISE_BELOW_START = "PromiseBelowStart"
    PROMISE_MISSED = "PromiseMissed"
    ALL_FAILING = "AllFailing"


def reason_of(situation: Situation, counted: Numbers, replicas: int, sized_by: tuple[Clamp, ...]) -> Reason:
    users = users_reason(situation.policy, situation.now)
    if users is not None:
        return users
    if replicas > max(counted.current_replicas, counted.ready):
        return Reason.SCALING_UP
    if replicas < counted.current_replicas:
        return Reason.SCALING_DOWN
    if replicas > counted.ready:
        return Reason.SCALING_UP
    return _settled_reason(
        situation, counted, replicas, {clamp.name for clamp in sized_by if clamp.after < clamp.before}
    )


def _settled_reason(situation: Situation, counted: Numbers, replicas: int, lowered_by: set[ClampName]) -> Reason:
    """Why the number stays as it is."""
    for name, reason in _CAPPED:
        if name in lowered_by:
            return reason
    if not (counted.due or counted.running) and replicas <= situation.policy.min_replicas:
        return Reason.IDLE
    if replicas > max(counted.raw, situation.policy.min_replicas):
        return Reason.STABILIZING
    if _is_capped_by_tenant(situation):
        return Reason.CAPPED_BY_TENANT
    return Reason.STEADY


# The last limit that lowered the number is the one that holds it.
_CAPPED = (
    (ClampName.CONNECTION_BUDGET, Reason.CAPPED_BY_CONNECTIONS),
    (ClampName.MAX_REPLICAS, Reason.CAPPED_BY_MAX),
    (ClampName.ALL_FAILING, Reason.ALL_FAILING),
)


def _is_capped_by_tenant(situation: Situation) -> bool:
    """Rows wait that no worker may start, because their tenants run as much as they may."""
    due = sum(depth.due for depth in situation.reading.depths.values())
    return due > 0 and startable(situation) < due


def users_reason(policy: JobWorkerPoolSpec, now: float) -> Reason | None:
    if clamps.is_paused(policy, now):
        return Reason.PAUSED
    return Reason.PINNED if policy.replicas is not None else None


def notes_of(situation: Situation, counted: Numbers) -> tuple[Note, ...]:
    notes = start_note(situation.policy, counted)
    if situation.history.late_at is not None:
        notes = (*notes, Note.PROMISE_MISSED)
    return (*notes, Note.ALL_FAILING) if clamps.is_failing(situation) else notes


def start_note(policy: JobWorkerPoolSpec, counted: Numbers) -> tuple[Note, ...]:
    """A burst that meets no worker waits for one to start: a shorter promise needs minReplicas."""
    if policy.jobs_per_worker is not None or policy.min_replicas:
        return ()
    is_below = PROMISE_USED * counted.promise_seconds <= counted.start_seconds
    return (Note.PROMISE_BELOW_START,) if is_below else ()


def late_at(policy: JobWorkerPoolSpec, counted: Numbers, before: float | None, now: float) -> float | None:
    """When a job was last late. For a minute, or waits that come and go round the promise would be news each time."""
    if policy.jobs_per_worker is not None:
        return None
    if counted.oldest_seconds > counted.promise_seconds:
        return now
    return before if before is not None and 0 <= now - before < LATE_KEPT_SECONDS else None
