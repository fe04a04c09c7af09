"""Reports what was decided: the status, and the events behind logs, Kubernetes Events and metrics."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from jobtide_controller.api.spec import UNLIMITED
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.need import oldest_due
from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.decide.reasons import Reason
from jobtide_controller.decide.scaling import Decision
from jobtide_controller.loop.ports import PoolEntry, Status
from jobtide_controller.loop.term import PoolState, ReportedCondition, Term
from jobtide_controller.render import sentence
from jobtide_controller.render.facts import Context
from jobtide_controller.render.status import present_of, readable, render
from jobtide_controller.render.trouble import Trouble, render_trouble
from jobtide_controller.telemetry.events import Decided, Emit, ReasonChanged
from jobtide_controller.telemetry.metrics import PoolGauges, PoolTrouble

MIN_PAUSE_SECONDS = 5.0  # between two writes of one pool, where only numbers change
WRITES_PER_SECOND = 20.0  # of such writes, over all pools

# Conditions whose changes are worth an Event, with the good value: the state of the pool, not its motion.
_GOOD = {"Ready": "True", "DatabaseReachable": "True", "SchemaReady": "True", "KeepingUp": "True", "Stalled": "False"}

# What a user may wait for: it is written at once.
_URGENT = ("observedGeneration", "replicas", "readyReplicas", "desiredReplicas", "reason", "limitedBy")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One pool in one tick."""

    entry: PoolEntry
    reading: Reading | Unreadable
    fleet: Fleet
    decision: Decision
    context: Context
    policy: JobWorkerPoolSpec | None = None  # the pool's spec with the limits of tenants in force; None: as it is


class Reporter:
    """Renders a status only when it can be written or says something urgent: rendering costs more than deciding."""

    def __init__(
        self,
        emit: Emit,
        *,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit = emit
        self._wall_clock = wall_clock
        self._monotonic = monotonic

    def announce(self, outcome: Outcome, state: PoolState) -> None:
        """Emits the decision if it is a new one."""
        entry, decision = outcome.entry, outcome.decision
        before = outcome.fleet.current_replicas or 0 if state.decided is None else state.decided
        state.decided = decision.replicas
        if before != decision.replicas:
            limited_by = tuple(clamp.name for clamp in decision.limited_by)
            message = sentence.sentence(decision)
            self._emit(Decided(entry.ref, entry.uid, before, decision.replicas, decision.reason, message, limited_by))

    def report(self, term: Term, outcome: Outcome, state: PoolState) -> bool:
        """Whether everything that is known about the pool is written, or on its way."""
        entry, facts = outcome.entry, _facts(outcome)
        if state.reported == facts and not self._is_time(term, state):
            return False
        state.reported = facts
        before, reading, fleet = entry.status, outcome.reading, outcome.fleet
        previous = _with_decisions(before, state)
        pool, policy = entry.pool, outcome.policy
        if policy is not None and policy is not pool.spec:
            pool = pool.model_copy(update={"spec": policy})
        status = render(pool, reading, fleet, outcome.decision, outcome.context, previous, self._wall_clock())
        self._emit_conditions(entry, status, state)
        state.unwritten_decisions = _unwritten(before, status)
        if before == status:
            return True
        if not (_is_urgent(before, status) or self._is_time(term, state)):
            return False
        state.status_written_at = self._monotonic()
        term.writes.tell_status(entry, status)
        return True

    def report_trouble(self, term: Term, entry: PoolEntry, state: PoolState, trouble: Trouble, fleet: Fleet) -> None:
        """Writes what is wrong with a pool that can't be decided, once until something of it changes."""
        facts = (trouble, entry.generation, fleet.current_replicas, fleet.ready, present_of(fleet))
        if state.reported == facts:
            return
        state.reported = facts
        before = entry.status
        status = render_trouble(
            trouble,
            generation=entry.generation,
            fleet=fleet,
            previous_status=_with_decisions(before, state),
            now=self._wall_clock(),
        )
        self._emit_conditions(entry, status, state)
        if before != status:
            term.writes.tell_status(entry, status)

    def end_changes(self, term: Term, state: PoolState) -> None:
        """The pool's numbers do not change any more: the other pools get its share of the writes."""
        if self._is_time(term, state):
            state.status_written_at = None

    def _is_time(self, term: Term, state: PoolState) -> bool:
        """Whether numbers that change all the time may be written again."""
        pause = max(MIN_PAUSE_SECONDS, term.changing_pools / WRITES_PER_SECOND)
        return state.status_written_at is None or self._monotonic() - state.status_written_at >= pause

    def _emit_conditions(self, entry: PoolEntry, status: Status, state: PoolState) -> None:
        """Emits changes since the last emitted conditions; the stored status may lag behind a pending write."""
        if state.conditions is None:
            earlier = readable(entry.status).as_object()
            state.conditions = {type_: reported for type_, reported, _ in _conditions(earlier)}
        for type_, now, message in _conditions(status):
            is_good = now.status == _GOOD[type_]
            before = state.conditions.get(type_)
            state.conditions[type_] = now
            if now.status == "Unknown" or (before is None and is_good):
                continue  # a consequence of another condition; or a new pool, which is expected to be well
            if before != now:
                self._emit(ReasonChanged(entry.ref, entry.uid, type_, is_good, now.reason, message))
        state.troubles = tuple(
            PoolTrouble(entry.ref, type_, now.reason)
            for type_, now in state.conditions.items()
            if now.status not in {_GOOD[type_], "Unknown"}
        )


def gauges(outcome: Outcome) -> PoolGauges:
    """What /metrics shows of the pool. Kept while the pool rests, so it holds no parsed pool but one with windows."""
    entry, reading = outcome.entry, outcome.reading
    items = [] if isinstance(reading, Unreadable) else list(reading.depths.items())
    depths, spec = [depth for _, depth in items], outcome.policy or entry.pool.spec
    return PoolGauges(
        ref=entry.ref,
        database=entry.database,
        promises=tuple(
            (type_, inf if spec.jobs_per_worker is not None else spec.promise_of(type_)) for type_ in entry.types
        ),
        readable=isinstance(reading, Reading),
        pending=sum(depth.due + depth.later for depth in depths),
        processing=sum(depth.running for depth in depths),
        oldest_seconds=oldest_due(spec.tenants, items) or 0.0,
        desired=outcome.decision.replicas,
        ready=outcome.fleet.ready,
        busy=outcome.fleet.busy,
        behind=() if outcome.decision.reason is Reason.PAUSED else outcome.decision.notes,  # as KeepingUp
        limited={one.name: one.before - one.after for one in outcome.decision.limited_by if one.after < one.before},
        drain_deadline=min((pod.gone_by for pod in outcome.fleet.pods if pod.gone_by is not None), default=None),
        in_force=outcome.decision.in_force,
        tenants=spec.tenants if spec.tenants.has_pause else UNLIMITED,
    )


def _facts(outcome: Outcome) -> tuple[object, ...]:
    """What matters to a user who waits for it; numbers that always change are left out."""
    decision, fleet, reading = outcome.decision, outcome.fleet, outcome.reading
    return (
        outcome.entry.pool.metadata.generation,
        decision.replicas,
        decision.reason,
        tuple(clamp.name for clamp in decision.limited_by),
        decision.notes,
        None if decision.in_force is None else (decision.in_force.active, decision.in_force.coming),
        fleet.current_replicas,
        fleet.ready,
        len(fleet.pods),
        tuple((pod.problem or pod.cause, pod.stuck) for pod in fleet.pods if pod.problem or pod.cause),
        (reading.reason, reading.message) if isinstance(reading, Unreadable) else None,
        outcome.context,
    )


def _with_decisions(status: Status | None, state: PoolState) -> Status | None:
    """The stored status with the decisions of the one that is still on its way: it may be replaced by the next."""
    if state.unwritten_decisions is None:
        return status
    return {**(status or {}), "decisions": json.loads(state.unwritten_decisions)}


def _unwritten(before: Status | None, after: Status) -> str | None:
    """The decisions that the API server does not have, as text: a pool may rest from here on."""
    decisions = after["decisions"]
    return None if decisions == (before or {}).get("decisions", []) else json.dumps(decisions)


def _is_urgent(before: Status | None, after: Status) -> bool:
    """Whether something changed that a user may wait for: a condition, a number of workers."""
    if before is None or any(before.get(name) != after.get(name) for name in _URGENT):
        return True
    return _without_messages(readable(before).as_object()) != _without_messages(after)


def _without_messages(status: Status) -> list[tuple[Any, ...]]:
    names = ("type", "status", "reason", "observedGeneration")
    return [tuple(condition.get(name) for name in names) for condition in status.get("conditions") or ()]


def _conditions(status: Mapping[str, Any]) -> Iterator[tuple[str, ReportedCondition, str]]:
    """Those worth an Event: type, what is kept of it, message. Ten thousand pools have the same few words."""
    for condition in status.get("conditions") or ():
        type_, state, reason = map(sys.intern, (condition["type"], condition["status"], condition["reason"]))
        if type_ in _GOOD:
            yield type_, ReportedCondition(state, reason), condition.get("message", "")
