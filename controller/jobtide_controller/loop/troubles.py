"""Pools that can't be decided: refused specs, and bugs, which stop no other pool."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from jobtide.backoff import backoff_seconds
from jobtide_controller.loop.pipeline import Pipeline
from jobtide_controller.loop.ports import PoolEntry
from jobtide_controller.loop.term import Bug, PoolState, Terms
from jobtide_controller.render.trouble import Trouble
from jobtide_controller.telemetry.events import Emit, Failed

# The first pause of a pool whose pass ended with a bug, and the longest.
BUG_SECONDS = (1.0, 60.0)
BUG_CHARACTERS = 1_000


class Troubles:
    """Writes them into the pools' statuses; the pools' workers stay as they are."""

    def __init__(self, pipeline: Pipeline, terms: Terms, emit: Emit, *, wall_clock: Callable[[], float]) -> None:
        self._pipeline = pipeline
        self._terms = terms
        self._emit = emit
        self._wall_clock = wall_clock

    def is_backing_off(self, entry: PoolEntry, pool: PoolState) -> bool:
        bug = pool.bug
        return bug is not None and bug.generation == entry.generation and self._wall_clock() < bug.retry_at

    def note_bug(self, entry: PoolEntry, pool: PoolState, error: Exception) -> None:
        """The same bug of the same pool is emitted once, and its pool's status says so."""
        before, passes = pool.bug, 1
        if before is None or before.error != repr(error):
            self._emit(Failed(f"pool {entry.ref}", "".join(traceback.format_exception(error))))
        elif before.generation == entry.generation:
            passes = before.passes + 1
        base_seconds, max_seconds = BUG_SECONDS
        pause = backoff_seconds(passes, base_seconds=base_seconds, max_seconds=max_seconds)
        pool.bug = Bug(repr(error), entry.generation, passes, self._wall_clock() + pause)
        self._report(entry, pool, Trouble("InternalError", _bug_words(error)))

    def report_refusal(self, entry: PoolEntry, pool: PoolState, refusal: str) -> None:
        """The pool is looked at again when it changes."""
        pool.is_idle, pool.wake_at = True, None
        self._report(entry, pool, Trouble("InvalidSpec", f"{refusal}; until then its workers stay as they are"))

    def _report(self, entry: PoolEntry, pool: PoolState, trouble: Trouble) -> None:
        term = self._terms.current
        if term is None:
            return
        try:
            self._pipeline.report_trouble(term, entry, pool, trouble)
        except Exception:  # noqa: BLE001 - a bug here stops no other pool either
            self._emit(Failed(f"the status of pool {entry.ref}", traceback.format_exc()))


def _bug_words(error: Exception) -> str:
    return (
        f"a bug in Jobtide: {type(error).__name__}: {error}"[:BUG_CHARACTERS]
        + "; the pool's workers stay as they are, and it is tried again; the controller's log has the traceback: "
        "please report it, with this pool"
    )
