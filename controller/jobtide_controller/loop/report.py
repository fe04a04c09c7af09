"""Tells what was decided: the status, and the events behind logs, Kubernetes Events and metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.decide.scaling import Decision
from jobtide_controller.kube.inventory.pools import PoolEntry
from jobtide_controller.kube.write.status_writer import StatusWriter
from jobtide_controller.render import sentence
from jobtide_controller.render.facts import Context
from jobtide_controller.render.status import render
from jobtide_controller.telemetry.events import Decided, Emit, ReasonChanged

# Whose changes are worth an Event: the state of the pool, not its motion.
_TOLD = {"Ready": "True", "DatabaseReachable": "True", "SchemaReady": "True", "KeepingUp": "True", "Stalled": "False"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One pool in one tick."""

    entry: PoolEntry
    reading: Reading | Unreadable
    fleet: Fleet
    decision: Decision
    context: Context


class _Condition(NamedTuple):
    status: str
    reason: str
    message: str


class Reporter:
    """Renders a status only when it can be written or says something that matters: rendering costs more than
    deciding.
    """

    def __init__(self, statuses: StatusWriter, emit: Emit, *, wall_clock: Callable[[], float] = time.time) -> None:
        self._statuses = statuses
        self._emit = emit
        self._wall_clock = wall_clock
        self._states: dict[str, tuple[object, ...]] = {}
        self._decided: dict[str, int] = {}
        self._told: dict[str, dict[str, _Condition]] = {}

    def report(self, outcome: Outcome) -> bool:
        """Whether everything that is known about the pool has been told."""
        self._tell_decision(outcome)
        entry, state = outcome.entry, _state(outcome)
        if self._states.get(entry.uid) == state and not self._statuses.is_time(entry.uid):
            return False
        self._states[entry.uid] = state
        status = render(
            entry.pool, outcome.reading, outcome.fleet, outcome.decision, outcome.context, entry.status,
            self._wall_clock(),
        )  # fmt: skip
        self._tell_conditions(entry, status)
        return self._statuses.offer(entry, status)

    def quiet(self, uid: str) -> None:
        """The pool is not looked at until something happens to it."""
        self._statuses.quiet(uid)

    def forget(self, uid: str) -> None:
        self._states.pop(uid, None)
        self._decided.pop(uid, None)
        self._told.pop(uid, None)
        self._statuses.forget(uid)

    def _tell_decision(self, outcome: Outcome) -> None:
        entry, decision = outcome.entry, outcome.decision
        before = self._decided.get(entry.uid, outcome.fleet.current_replicas or 0)
        self._decided[entry.uid] = decision.replicas
        if before != decision.replicas:
            limited_by = tuple(clamp.name for clamp in decision.limited_by)
            message = sentence.sentence(decision)
            self._emit(Decided(entry.ref, entry.uid, before, decision.replicas, decision.reason, message, limited_by))

    def _tell_conditions(self, entry: PoolEntry, status: Mapping[str, Any]) -> None:
        """Against what was told last, not against what is stored: the write may still be on its way."""
        told = self._told.get(entry.uid)
        if told is None:
            told = self._told[entry.uid] = _conditions(entry.status or {})
        for type_, now in _conditions(status).items():
            is_good = now.status == _TOLD[type_]
            was = told.get(type_)
            told[type_] = now
            if now.status == "Unknown" or (was is None and is_good):
                continue  # a consequence of another condition; or a new pool, which is expected to be well
            if was is None or (was.status, was.reason) != (now.status, now.reason):
                self._emit(ReasonChanged(entry.ref, entry.uid, type_, is_good, now.reason, now.message))


def _state(outcome: Outcome) -> tuple[object, ...]:
    """What matters to somebody who waits for it; numbers that always move are left out."""
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
        tuple(pod.problem for pod in fleet.pods if pod.problem),
        (reading.reason, reading.message) if isinstance(reading, Unreadable) else None,
        outcome.context,
    )


def _conditions(status: Mapping[str, Any]) -> dict[str, _Condition]:
    return {
        condition["type"]: _Condition(condition["status"], condition["reason"], condition.get("message", ""))
        for condition in status.get("conditions") or ()
        if condition["type"] in _TOLD
    }
