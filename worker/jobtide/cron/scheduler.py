"""Keeps the next slot of every schedule in the table, ahead of time.

The next slot waits in the table as an ordinary scheduled job, so it falls due, and wakes its pool, even if no worker
runs. A worker that runs then adds the next slot. Processes need no coordination: a slot has one id.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import monotonic

import psycopg

from jobtide.cron.schedule import Schedule
from jobtide.database_errors import one_line
from jobtide.producer.enqueue import IdTakenError, NewJob, enqueue_many
from jobtide.producer.job_ids import Key
from jobtide.queue.outage import Outage
from jobtide.queue.session import DatabaseUnreachable, Session
from jobtide.telemetry.events import Emit, SlotRefused

_LONGEST_WAIT_SECONDS = 60.0  # how late a change of the clock, or a suspended machine, may be noticed
_SPREAD_SECONDS = 1.0  # between the workers that wake at the same slot; the first one does the work


class Scheduler:
    """A daemon thread that connects only while it has slots to add."""

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
        self._stored: dict[Key, datetime] = {}  # the slots that are in the table

    def start(self) -> None:
        threading.Thread(target=self.run, name="jobtide-cron", daemon=True).start()

    def run(self) -> None:
        never = threading.Event()
        while True:
            never.wait(self.run_once(self._clock()))

    def run_once(self, now: datetime) -> float:
        """One pass: adds the next slots. Returns the seconds to wait before the next pass."""
        slots = {schedule.key: schedule.next_slot(now) for schedule in self._schedules}
        missing = [schedule for schedule in self._schedules if self._stored.get(schedule.key) != slots[schedule.key]]
        if missing:
            try:
                self._add([schedule.job(slots[schedule.key]) for schedule in missing])
            except (psycopg.Error, DatabaseUnreachable) as error:
                return self._outage.failed(error, monotonic())
            finally:
                self._session.close()
            self._stored = slots
            self._outage.succeeded()
        until_next = (min(slots.values()) - now).total_seconds()
        return min(until_next + random.random() * _SPREAD_SECONDS, _LONGEST_WAIT_SECONDS)  # noqa: S311 - jitter

    def _add(self, jobs: list[NewJob]) -> None:
        try:
            enqueue_many(self._session.connection(), jobs)
        except (psycopg.IntegrityError, IdTakenError) as refused:
            if len(jobs) > 1:  # one deleted tenant must not stop the others' schedules
                for job in jobs:
                    self._add([job])
                return
            self._emit(SlotRefused(jobs[0].type, str(jobs[0].tenant_id), one_line(refused)))
