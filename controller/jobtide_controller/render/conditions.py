"""The conditions of a pool's status, and the one word for the column REASON.

| condition | True | False, by reason | Unknown |
|---|---|---|---|
| Ready | the last decision came from a fresh reading and was applied (Applied) | InvalidSpec, InternalError, StatusRefused, Conflict, ApplyFailed, NamespaceNotAllowed, or why the database can't be read | |
| DatabaseReachable | the last query succeeded (Read), or failed on the schema only | DatabaseNotConfigured, Unreachable, AuthFailed, TLSFailed, Timeout, TooManyConnections, RLSHidesRows, Standby, QueryFailed | |
| SchemaReady | table, grants and index suffice (Complete) | TableMissing, GrantMissing, SchemaWrong; IndexMissing (it works, slowly) | the database can't be reached |
| ScalingActive | nothing but the table decides (Active) | Paused, Pinned, CappedByMax, CappedByConnections, CappedByTenant, AllFailing, TypesOverlap | the database can't be read |
| KeepingUp | jobs start within the promise, and attempts succeed (Keeping; NoPromise: jobsPerWorker) | AllFailing, PromiseMissed, PromiseBelowStart | the database can't be read, or Paused |
| Progressing | workers start or stop (ScalingUp, ScalingDown, RollingOut); what a worker waits for is in the message | the workers are as desired (Settled) | |
| Paused | the user paused it (Paused) | NotPaused | |
| LimitsCurrent | tenants' limits are as spec.tenants and the view have them (Current); only where there are some | those that were known hold: NotStored, NotWritten, ViewWrong, ViewSlow, ViewTooLarge, ViewNotAllowed | the database can't be read |
| TableHealthy | vacuum keeps up with the table, and nothing holds it back (Healthy); from the first look on | OldSnapshot, DeadRows, AutovacuumOff | NotReadable, or the database can't be read |
| Stalled | it can't continue without help: InvalidSpec, or by reason in stalled.py | NotStalled | |

Ready says whether Jobtide works. A limit that the user set is in ScalingActive, never in Ready, so that GitOps tools,
which read Ready and Stalled (kstatus), show such a pool as healthy.
"""  # noqa: E501 - the truth table

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.clamps import is_paused
from jobtide_controller.decide.reading import Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.reasons import Note, Reason
from jobtide_controller.render import display, sentence
from jobtide_controller.render.facts import Context, Facts, Judgement
from jobtide_controller.render.promises import late_types, shortest_promise
from jobtide_controller.render.stalled import stalled, waiting_for

OVERLAPS_NAMED = 5  # types in a message

SCHEMA_REASONS = frozenset(
    {UnreadableReason.TABLE_MISSING, UnreadableReason.GRANT_MISSING, UnreadableReason.SCHEMA_WRONG}
)

# In the order of the table above.
CONDITIONS = (
    "Ready",
    "DatabaseReachable",
    "SchemaReady",
    "ScalingActive",
    "KeepingUp",
    "Progressing",
    "Paused",
    "LimitsCurrent",
    "TableHealthy",
    "Stalled",
)

_LIMITING = {
    Reason.CAPPED_BY_CONNECTIONS: "more workers are needed than the database has connections for",
    Reason.CAPPED_BY_MAX: "more workers are needed than maxReplicas allows",
    Reason.CAPPED_BY_TENANT: "jobs wait because their tenants run as many at once as their limits allow, or are paused",
    Reason.ALL_FAILING: "every attempt fails, and onAllFailing is Hold",
    Reason.PINNED: "the number of workers is pinned by replicas; remove it to scale again",
}


def judge(facts: Facts) -> tuple[Judgement, ...]:
    """All conditions, in the order of the table above."""
    return (
        _ready(facts),
        _database_reachable(facts.reading),
        _schema_ready(facts),
        _scaling_active(facts),
        _keeping_up(facts),
        _progressing(facts),
        _paused(facts),
        *_limits_current(facts),
        *_table_healthy(facts),
        stalled(facts),
    )


def pool_reason(facts: Facts) -> str:
    """The word for the column REASON: what a user must know first."""
    ready, stall = _ready(facts), stalled(facts)
    if ready.status != "True":
        # "Unreachable" alone would not say that it is the database.
        return "DatabaseUnreachable" if ready.reason == UnreadableReason.UNREACHABLE else ready.reason
    if stall.status == "True":
        return stall.reason
    if Note.ALL_FAILING in facts.decision.notes:
        return Note.ALL_FAILING
    if facts.context.overlaps and facts.decision.reason in (Reason.IDLE, Reason.STEADY, Reason.STABILIZING):
        return "TypesOverlap"
    return facts.decision.reason


def _ready(facts: Facts) -> Judgement:
    if facts.context.conflict is not None:
        return Judgement("Ready", "False", "Conflict", facts.context.conflict)
    if facts.context.apply_error is not None:
        return Judgement("Ready", "False", "ApplyFailed", facts.context.apply_error)
    if isinstance(facts.reading, Unreadable):
        return Judgement("Ready", "False", facts.reading.reason, sentence.unreadable(facts.reading))
    return Judgement("Ready", "True", "Applied", "the last decision came from a fresh reading and was applied")


def _database_reachable(reading: Reading | Unreadable) -> Judgement:
    if isinstance(reading, Unreadable) and reading.reason is UnreadableReason.NOT_ALLOWED:
        return Judgement("DatabaseReachable", "Unknown", reading.reason, _not_read(reading))
    if isinstance(reading, Unreadable) and reading.reason not in SCHEMA_REASONS:
        return Judgement("DatabaseReachable", "False", reading.reason, sentence.unreadable(reading))
    return Judgement("DatabaseReachable", "True", "Read", "the database answers")


def _schema_ready(facts: Facts) -> Judgement:
    reading, warnings = facts.reading, facts.context.schema_warnings
    if isinstance(reading, Unreadable):
        if reading.reason in SCHEMA_REASONS:
            return Judgement("SchemaReady", "False", reading.reason, reading.message)
        return Judgement("SchemaReady", "Unknown", reading.reason, _not_read(reading))
    if warnings:
        return Judgement("SchemaReady", "False", "IndexMissing", "; ".join(warnings))
    return Judgement("SchemaReady", "True", "Complete", "table, grants and index are there")


def _scaling_active(facts: Facts) -> Judgement:
    decision, context = facts.decision, facts.context
    if is_paused(facts.spec, facts.now):
        return Judgement("ScalingActive", "False", "Paused", _pause_message(facts.spec))
    if decision.reason is Reason.PINNED:
        return Judgement("ScalingActive", "False", decision.reason, _LIMITING[Reason.PINNED])
    if isinstance(facts.reading, Unreadable):
        return Judgement("ScalingActive", "Unknown", facts.reading.reason, _not_read(facts.reading))
    if decision.reason in _LIMITING:
        return Judgement("ScalingActive", "False", decision.reason, _limiting_message(facts))
    if context.overlaps:
        return Judgement("ScalingActive", "False", "TypesOverlap", _overlap_message(context))
    return Judgement("ScalingActive", "True", "Active", "the table alone decides")


def _keeping_up(facts: Facts) -> Judgement:
    if isinstance(facts.reading, Unreadable):
        return Judgement("KeepingUp", "Unknown", facts.reading.reason, _not_read(facts.reading))
    if is_paused(facts.spec, facts.now):
        return Judgement("KeepingUp", "Unknown", "Paused", "jobs wait because the pool is paused")
    for note, message in _NOT_KEEPING_UP:
        if note in facts.decision.notes:
            return Judgement("KeepingUp", "False", note, message(facts))
    if facts.spec.jobs_per_worker is not None:
        return Judgement("KeepingUp", "True", "NoPromise", "jobsPerWorker decides; no waiting time is promised")
    promise = "the promise of its type" if facts.spec.promises else "maxWaitSeconds"
    return Judgement("KeepingUp", "True", "Keeping", f"no job waits longer than {promise}")


def _progressing(facts: Facts) -> Judgement:
    desired, ready = facts.decision.replicas, facts.fleet.ready
    if ready < desired:
        words = f"{ready} of {desired} workers are ready"
        return Judgement("Progressing", "True", "ScalingUp", "; ".join(filter(None, (words, waiting_for(facts)))))
    if ready > desired:
        return Judgement("Progressing", "True", "ScalingDown", f"{ready} workers are ready, {desired} are desired")
    if not facts.context.rollout.complete:
        words = "workers of the new template replace the old ones"
        return Judgement("Progressing", "True", "RollingOut", "; ".join(filter(None, (words, waiting_for(facts)))))
    return Judgement("Progressing", "False", "Settled", "the workers are as desired")


def _not_read(reading: Unreadable) -> str:
    """Why nothing is known of the table, for the conditions that follow from it."""
    is_refused = reading.reason is UnreadableReason.NOT_ALLOWED
    return "the pool may not use the database" if is_refused else "the database can't be read"


def _paused(facts: Facts) -> Judgement:
    if is_paused(facts.spec, facts.now):
        return Judgement("Paused", "True", "Paused", _pause_message(facts.spec))
    return Judgement("Paused", "False", "NotPaused")


def _limits_current(facts: Facts) -> Iterator[Judgement]:
    """None for a pool without limits of tenants: most have none."""
    context, trouble = facts.context, facts.context.limits_trouble
    if (
        not facts.spec.tenants.is_set
        and not context.limits_view
        and not (trouble is not None and trouble.reason.startswith("View"))
    ):
        return
    if isinstance(facts.reading, Unreadable):
        yield Judgement("LimitsCurrent", "Unknown", facts.reading.reason, _not_read(facts.reading))
    elif trouble is not None:
        yield Judgement("LimitsCurrent", "False", trouble.reason, f"{trouble.message}; the last known limits hold")
    else:
        yield Judgement("LimitsCurrent", "True", "Current", "limits of tenants hold as they are set")


def _table_healthy(facts: Facts) -> Iterator[Judgement]:
    """None before the first look of all; after a restart, the stored one stays until the first look."""
    if isinstance(facts.reading, Unreadable):
        yield Judgement("TableHealthy", "Unknown", facts.reading.reason, _not_read(facts.reading))
    elif (verdict := facts.context.table) is not None:
        yield Judgement("TableHealthy", verdict.status, verdict.reason, verdict.message)
    elif facts.table_before is not None:
        yield facts.table_before


def _pause_message(spec: JobWorkerPoolSpec) -> str:
    if spec.paused_until is None:
        return "paused until paused is false; jobs wait"
    until = spec.paused_until.isoformat()
    return f"paused until {until}; jobs wait; to resume before, set paused to false and remove pausedUntil"


def _failing_message(facts: Facts) -> str:
    """With a time that stays the same while the pool fails: a message that changes is a write."""
    failing = facts.decision.history.failing
    since = "" if failing is None else f"since {datetime.fromtimestamp(failing.since, UTC):%Y-%m-%dT%H:%M:%SZ} "
    return (
        f"{since}every attempt that was seen to end has failed; a row's last error is in its column result, "
        "all errors are in the workers' logs"
    )


def _missed_message(facts: Facts) -> str:
    """With the limits that keep the number of workers below what the promise requires."""
    numbers = facts.decision.numbers
    waited = 0.0 if numbers is None else numbers.oldest_seconds
    now = f"the oldest due job has waited {display.age(waited)}" if waited >= 1 else "none waits now"
    promise = f"maxWaitSeconds ({facts.spec.wait_seconds})"
    if facts.spec.promises:
        promise, now = "the promises of their types", late_types(facts)
    limits = [clamp for clamp in facts.decision.limited_by if clamp.after < clamp.before]
    why = "".join(f"; {sentence.clamped(clamp)}" for clamp in limits)
    return f"in the last minute jobs have waited longer than {promise}; {now}{why}"


def _below_start_message(facts: Facts) -> str:
    field, seconds = shortest_promise(facts)
    return (
        f"a worker takes {facts.fleet.start_seconds:.3g} s to start, so jobs that find no worker wait longer than most "
        f"of {field} ({seconds}); set minReplicas: 1, or raise {field}"
    )


def _limiting_message(facts: Facts) -> str:
    message, share = _LIMITING[facts.decision.reason], facts.decision.share
    if facts.decision.reason is Reason.CAPPED_BY_MAX and (window := _ceiling_window(facts)) is not None:
        return f"{message} in the window {window} ({facts.spec.max_replicas})"
    if facts.decision.reason is not Reason.CAPPED_BY_CONNECTIONS or share is None:
        return message
    return (
        f"{message}: of the {share.budget} that the workers of all pools of {facts.spec.database} share, this pool has "
        f"{share.workers * share.connections}, {share.connections} for each of {share.workers} workers"
    )


def _ceiling_window(facts: Facts) -> str | None:
    """The window by the clock that sets maxReplicas."""
    return None if facts.decision.in_force is None else facts.decision.in_force.max_by


def _overlap_message(context: Context) -> str:
    shared = [
        f"{overlap.type} is handled by {', '.join(overlap.pools)}{' and others' if overlap.has_more else ''} too"
        for overlap in context.overlaps[:OVERLAPS_NAMED]
    ]
    more = len(context.overlaps) - OVERLAPS_NAMED
    if more > 0:
        shared.append(f"{more} more of its types are shared")
    return f"{'; '.join(shared)}: each pool sizes itself for the same jobs; name a type in one pool only"


# The first that applies: while every attempt fails, long waits are the smaller problem.
_NOT_KEEPING_UP: tuple[tuple[Note, Callable[[Facts], str]], ...] = (
    (Note.ALL_FAILING, _failing_message),
    (Note.PROMISE_MISSED, _missed_message),
    (Note.PROMISE_BELOW_START, _below_start_message),
)
