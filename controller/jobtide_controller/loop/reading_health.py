"""Whether a database can be read: emitted when it changes, and counted for the pause before the next try."""

from __future__ import annotations

from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.loop.term import DatabaseState
from jobtide_controller.telemetry.events import DatabaseFound, DatabaseLost, Emit


def note_reading(name: str, state: DatabaseState, reading: Reading | Unreadable, now: float, emit: Emit) -> None:
    """Keeps the reading, and emits when the database becomes readable or unreadable.

    Wakes every pool then, and when the database stays unreadable for another reason.
    """
    before, state.reading = state.reading, reading
    lost = before if isinstance(before, Unreadable) else None
    if isinstance(reading, Unreadable):
        state.failures += 1
        if lost is None or lost.reason != reading.reason:
            emit(DatabaseLost(name, reading.reason, reading.message))
        if lost is None or (lost.reason, lost.message) != (reading.reason, reading.message):
            _wake_all(state)
        return
    state.failures = 0
    if before is None or lost is not None:
        emit(DatabaseFound(name, None if lost is None else now - lost.since))
        _wake_all(state)


def _wake_all(state: DatabaseState) -> None:
    for pool in state.pools.values():
        pool.is_idle = False
