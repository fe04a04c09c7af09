"""Renders the status of a pool; it stays equal if only the time has changed, so that it is not written again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from jobtide_controller.api.status import (
    DECISIONS_KEPT,
    MESSAGE_LIMIT,
    UNSERVED_SHOWN,
    ClampStatus,
    Condition,
    DecisionStatus,
    Display,
    JobWorkerPoolStatus,
    RetentionStatus,
    UnservedTypeStatus,
)
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.reading import Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.retention import is_set
from jobtide_controller.decide.scaling import Decision
from jobtide_controller.render import deployment, display, sentence, totals
from jobtide_controller.render.conditions import judge, pool_reason
from jobtide_controller.render.facts import Context, Facts, Judgement
from jobtide_controller.render.windows import schedule_status


def render(  # noqa: PLR0917 - one value from each stage of the pipeline
    pool: JobWorkerPool,
    reading: Reading | Unreadable,
    fleet: Fleet,
    decision: Decision,
    context: Context,
    previous_status: Mapping[str, Any] | None,
    now: float,
) -> dict[str, Any]:
    """The status as Kubernetes stores it; a copy of the previous one if nothing but the time has changed."""
    previous = readable(previous_status)
    stalled, table = _stalled_before(previous, pool.metadata.generation), _before(previous, "TableHealthy")
    spec = pool.spec if decision.in_force is None else decision.in_force.spec
    facts = Facts(spec, reading, fleet, decision, context, now, _readable_since(previous, now), stalled, table)
    rendered = _status(pool, facts, previous).as_object()
    if previous_status is not None and _without_read_time(rendered) == _without_read_time(previous_status):
        return dict(previous_status)
    return rendered


def readable(status: Mapping[str, Any] | None) -> JobWorkerPoolStatus:
    """A stored status; an empty one if another client made it so that it can't be understood."""
    try:
        return JobWorkerPoolStatus.model_validate(status or {})
    except (ValidationError, RecursionError):
        return JobWorkerPoolStatus()


def present_of(fleet: Fleet) -> int:
    """Workers that exist and are not terminating."""
    return sum(not (pod.terminating or pod.finished) for pod in fleet.pods)


def conditions(
    judgements: tuple[Judgement, ...], previous: JobWorkerPoolStatus, generation: int, now: float
) -> tuple[Condition, ...]:
    """As Kubernetes defines them: a condition keeps the time at which its status changed."""
    before = {condition.type: condition for condition in previous.conditions}
    return tuple(
        Condition(
            type=judgement.type,
            status=judgement.status,
            observed_generation=generation,
            last_transition_time=_transition_time(judgement, before.get(judgement.type), now),
            reason=judgement.reason,
            message=judgement.message[:MESSAGE_LIMIT],
        )
        for judgement in judgements
    )


def _status(pool: JobWorkerPool, facts: Facts, previous: JobWorkerPoolStatus) -> JobWorkerPoolStatus:
    fleet, decision, generation = facts.fleet, facts.decision, pool.metadata.generation
    status = JobWorkerPoolStatus(
        observed_generation=generation,
        reason=pool_reason(facts),
        message=_message(facts),
        replicas=present_of(fleet),
        ready_replicas=fleet.ready,
        busy_replicas=fleet.busy,
        desired_replicas=decision.replicas,
        selector=deployment.selector(pool),
        limited_by=tuple(clamp.name for clamp in decision.limited_by),
        limits=_limits(decision),
        numbers=_numbers(decision, zeros=False),
        schedule=schedule_status(decision.in_force),
        decisions=_decisions(facts, previous),
        conditions=conditions(judge(facts), previous, generation, facts.now),
        retention=_retention(facts, previous),
        unserved=_unserved(facts),
    )
    return status.model_copy(update=_reading_fields(pool, facts, previous))


def _reading_fields(pool: JobWorkerPool, facts: Facts, previous: JobWorkerPoolStatus) -> dict[str, Any]:
    """The fields that come from the reading.

    Without a reading the totals are not known, and types and tenants stay as of lastReadTime: a restarted controller
    restores from them what it had learned.
    """
    limited_by = ", ".join(clamp.name for clamp in facts.decision.limited_by) or display.NONE
    if _is_not_allowed(facts.reading):
        return {"display": display.unknown(limited_by)}
    if isinstance(facts.reading, Unreadable):
        return {
            "types": previous.types,
            "tenants": previous.tenants if facts.context.shows_tenants else (),
            "last_read_time": previous.last_read_time,
            "display": display.unknown(limited_by),
        }
    total = totals.total(facts.spec, facts.reading)
    return {
        "pending": total.pending,
        "scheduled": total.later,
        "processing": total.running,
        "oldest_seconds": int(total.oldest_seconds or 0),
        "tenants_total": total.tenants,
        "types": totals.by_type(pool.spec, facts.reading, facts.decision.history, facts.decision.needs),
        "tenants": totals.top_tenants(pool.spec, facts.reading) if facts.context.shows_tenants else (),
        "last_read_time": _moment(facts.reading.taken_at),
        "display": Display(
            pending=display.count(total.pending, capped=total.capped),
            oldest=display.NONE if total.oldest_seconds is None else display.age(total.oldest_seconds),
            busy=display.count(facts.fleet.busy),
            processing=display.count(total.running),
            tenants=display.count(total.tenants),
            limited_by=limited_by,
        ),
    }


def _retention(facts: Facts, previous: JobWorkerPoolStatus) -> RetentionStatus | None:
    """Until the first pass of a term, the status keeps that of the last one."""
    if not is_set(facts.spec.retention) or _is_not_allowed(facts.reading):
        return None
    last = facts.context.retained
    if last is None:
        return previous.retention or RetentionStatus()
    left = None if last.oldest_left is None else _moment(last.oldest_left)
    return RetentionStatus(deleted=last.deleted, time=_moment(last.at), oldest_left=left, message=last.message)


def _unserved(facts: Facts) -> tuple[UnservedTypeStatus, ...]:
    if isinstance(facts.reading, Unreadable):
        return ()
    return tuple(
        UnservedTypeStatus(type=one.type, pending=one.jobs, oldest_seconds=int(one.oldest_age_seconds))
        for one in facts.context.unserved[:UNSERVED_SHOWN]
    )


def _message(facts: Facts) -> str:
    if isinstance(facts.reading, Unreadable):
        return sentence.unreadable(facts.reading)
    return sentence.sentence(facts.decision)


def _decisions(facts: Facts, previous: JobWorkerPoolStatus) -> tuple[DecisionStatus, ...]:
    """The last changes, newest first. Decided numbers count, not applied ones: a slow write is one change."""
    before = _decided_before(facts, previous)
    if facts.decision.replicas == before:
        return previous.decisions
    change = DecisionStatus(
        time=_moment(facts.now),
        replicas_before=before,
        replicas=facts.decision.replicas,
        reason=facts.decision.reason,
        message=sentence.sentence(facts.decision),
        limited_by=_limits(facts.decision),
        numbers=_numbers(facts.decision, zeros=True),
    )
    return (change, *previous.decisions)[:DECISIONS_KEPT]


def _decided_before(facts: Facts, previous: JobWorkerPoolStatus) -> int:
    if previous.decisions:
        return previous.decisions[0].replicas
    is_first = not previous.conditions
    return (facts.fleet.current_replicas or 0) if is_first else previous.desired_replicas


def _limits(decision: Decision) -> tuple[ClampStatus, ...]:
    return tuple(
        ClampStatus(name=clamp.name, before=clamp.before, after=clamp.after, limit=clamp.limit, window=clamp.window)
        for clamp in decision.limited_by
    )


def _numbers(decision: Decision, *, zeros: bool) -> dict[str, float]:
    """Without `zeros` it is small: most pools are idle at most times, and controllers keep all statuses in memory."""
    if decision.numbers is None:
        return {}
    return {name: value for name, value in sentence.as_numbers(decision.numbers).items() if zeros or value}


def _is_not_allowed(reading: Reading | Unreadable) -> bool:
    return isinstance(reading, Unreadable) and reading.reason is UnreadableReason.NOT_ALLOWED


def _transition_time(judgement: Judgement, before: Condition | None, now: float) -> datetime:
    if before is not None and before.status == judgement.status:
        return before.last_transition_time
    return _moment(now)


def _readable_since(previous: JobWorkerPoolStatus, now: float) -> float:
    """When the database was found to be reachable; now if it was not until now, 0 for a new pool."""
    before = next((condition for condition in previous.conditions if condition.type == "DatabaseReachable"), None)
    if before is None:
        return 0.0
    return before.last_transition_time.timestamp() if before.status == "True" else now


def _stalled_before(previous: JobWorkerPoolStatus, generation: int) -> Judgement | None:
    before = next((condition for condition in previous.conditions if condition.type == "Stalled"), None)
    if before is None or before.status != "True" or before.observed_generation != generation:
        return None
    return Judgement("Stalled", "True", before.reason, before.message)


def _before(previous: JobWorkerPoolStatus, type_: str) -> Judgement | None:
    found = (condition for condition in previous.conditions if condition.type == type_)
    return next((Judgement(one.type, one.status, one.reason, one.message) for one in found), None)


def _without_read_time(status: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in status.items() if key != "lastReadTime"}
    retention = kept.get("retention")
    if isinstance(retention, Mapping):
        kept["retention"] = {key: value for key, value in retention.items() if key != "time"}
    return kept


def _moment(seconds: float) -> datetime:
    """In whole seconds, as Kubernetes writes its times."""
    return datetime.fromtimestamp(int(seconds), UTC)
