"""Reports what was decided: the status, and the events behind logs, Kubernetes Events and metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.decide.scaling import Decision
from jobtide_controller.loop.ports import PoolEntry, Status
from jobtide_controller.loop.term import PoolState, ReportedCondition, Term
from jobtide_controller.render import sentence
from jobtide_controller.render.facts import Context
from jobtide_controller.render.status import present_of, readable, render
from jobtide_controller.render.trouble import Trouble, render_trouble
from jobtide_controller.telemetry.events import Decided, Emit, ReasonChanged
from jobtide_controller.telemetry.metrics import PoolGauges

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
        status = render(entry.pool, reading, fleet, outcome.decision, outcome.context, previous, self._wall_clock())
        self._emit_conditions(entry, status, state)
        if before == status:
            state.unwritten_decisions = None
            return True
        state.unwritten_decisions = status["decisions"]
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
            state.conditions = _conditions(readable(entry.status).as_object())
        for type_, now in _conditions(status).items():
            is_good = now.status == _GOOD[type_]
            before = state.conditions.get(type_)
            state.conditions[type_] = now
            if now.status == "Unknown" or (before is None and is_good):
                continue  # a consequence of another condition; or a new pool, which is expected to be well
            if before is None or (before.status, before.reason) != (now.status, now.reason):
                self._emit(ReasonChanged(entry.ref, entry.uid, type_, is_good, now.reason, now.message))


def gauges(outcome: Outcome) -> PoolGauges:
    """What /metrics shows of the pool."""
    reading = outcome.reading
    depths = [] if isinstance(reading, Unreadable) else list(reading.depths.values())
    return PoolGauges(
        ref=outcome.entry.ref,
        readable=isinstance(reading, Reading),
        pending=sum(depth.due + depth.later for depth in depths),
        processing=sum(depth.running for depth in depths),
        oldest_seconds=max((depth.oldest_age_seconds for depth in depths), default=0.0),
        desired=outcome.decision.replicas,
        ready=outcome.fleet.ready,
        busy=outcome.fleet.busy,
        behind=outcome.decision.notes,
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
    return {**(status or {}), "decisions": state.unwritten_decisions}


def _is_urgent(before: Status | None, after: Status) -> bool:
    """Whether something changed that a user may wait for: a condition, a number of workers."""
    if before is None or any(before.get(name) != after.get(name) for name in _URGENT):
        return True
    return _without_messages(readable(before).as_object()) != _without_messages(after)


def _without_messages(status: Status) -> list[tuple[Any, ...]]:
    names = ("type", "status", "reason", "observedGeneration")
    return [tuple(condition.get(name) for name in names) for condition in status.get("conditions") or ()]


def _conditions(status: Mapping[str, Any]) -> dict[str, ReportedCondition]:
    return {
        condition["type"]: ReportedCondition(condition["status"], condition["reason"], condition.get("message", ""))
        for condition in status.get("conditions") or ()
        if condition["type"] in _GOOD
    }
