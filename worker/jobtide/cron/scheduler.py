"""Keeps the next slot of every schedule in the table, ahead of time.

The next slot waits there as an ordinary scheduled job, so it falls due, and wakes its pool, though no worker runs. Any
worker that does run then adds the slot after it. Processes need not know of each other: a slot has one id.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import monotonic

import psycopg

from jobtide.cron.schedule import Schedule
from jobtide.producer.enqueue import NewJob, enqueue_many
from jobtide.producer.job_ids import Key
from jobtide.queue.outage import Outage
from jobtide.queue.session import DatabaseAway, Session, one_line
from jobtide.telemetry.events import Emit, SlotRefused

_LONGEST_REST_SECONDS = 60.0  # a clock that was set, or a laptop that slept, is noticed within
_SPREAD_SECONDS = 1.0  # of a fleet that wakes at the same slot; the first one does the work


class Scheduler:
    """A daemon thread with a connection only while it has something to add."""

    def __init__(
        self,
        schedules: Sequence[Schedule],
        session: Session,
        emit: Emit,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._schedules = schedules
        self._session = session
        self._emit = emit
        self._clock = clock
        self._outage = Outage("enqueue the next cron slots", emit)
        self._stored: dict[Key, datetime] = {}  # the slots that are known to be in the table

    def start(self) -> None:
        threading.Thread(target=self.run, name="jobtide-cron", daemon=True).start()

    def run(self) -> None:
        rest = threading.Event()
        while True:
            rest.wait(self.run_once(self._clock()))

    def run_once(self, now: datetime) -> float:
        """One pass: adds the slots that come next. Returns how many seconds to rest."""
        slots = {schedule.key: schedule.next_slot(now) for schedule in self._schedules}
        missing = [schedule for schedule in self._schedules if self._stored.get(schedule.key) != slots[schedule.key]]
        if missing:
            try:
                self._add([schedule.job(slots[schedule.key]) for schedule in missing])
            except (psycopg.Error, DatabaseAway) as away:
                return self._outage.failed(away, monotonic())
            finally:
                self._session.close()
            self._stored = slots
            self._outage.succeeded()
        until_next = (min(slots.values()) - now).total_seconds()
        return min(until_next + random.random() * _SPREAD_SECONDS, _LONGEST_REST_SECONDS)  # noqa: S311 - jitter

    def _add(self, jobs: list[NewJob]) -> None:
        try:
            enqueue_many(self._session.connection(), jobs)
        except psycopg.IntegrityError as refused:
            if len(jobs) > 1:  # one deleted tenant must not stop the others' schedules
                for job in jobs:
                    self._add([job])
                return
            self._emit(SlotRefused(jobs[0].type, str(jobs[0].tenant_id), one_line(refused)))
