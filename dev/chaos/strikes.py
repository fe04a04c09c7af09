"""Carries out a plan: one thread for each fault, so that faults overlap, and a record of each strike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from dev.chaos.plan import Fault, Victim
from dev.chaos.target import NoTargetError, Target
from dev.machine.errors import DevError
from dev.machine.progress import say
from dev.machine.wait import first_true

RECOVERED_WITHIN_SECONDS = 30.0  # the longest that a fault waits for those before it
LOOK_SECONDS = 0.5


class Breaking(Protocol):
    """What carries out one fault: faults.py, or a fake in tests."""

    def struck(self, fault: Fault) -> AbstractContextManager[Target]: ...


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault as it happened. `healed_at` is when the target worked again, not when the fault was undone."""

    fault: Fault
    target: Target
    struck_at: float
    healed_at: float
    broken: str = ""  # why it did not recover


@dataclass(slots=True)
class Course:
    """The result of a plan."""

    strikes: list[Strike] = field(default_factory=list)
    skipped: list[tuple[Fault, str]] = field(default_factory=list)
    not_reached: int = 0


@dataclass(slots=True)
class Striker:
    """`recovered` returns True if jobs are claimed in time again. No fault starts after `until` (time.time())."""

    faults: Breaking
    recovered: Callable[[], bool]
    until: float
    course: Course = field(default_factory=Course)
    _free: dict[Victim, threading.Lock] = field(default_factory=lambda: {victim: threading.Lock() for victim in Victim})
    _threads: list[threading.Thread] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, plan: Sequence[Fault]) -> None:
        """Returns when the last fault is over."""
        try:
            for number, fault in enumerate(plan):
                if fault.waits:
                    self._wait_recovered()
                if self._pause(fault.pause_seconds):
                    self.course.not_reached = len(plan) - number
                    break
                self._start(fault)
            self._join()
        finally:
            self._stopped.set()  # also after an interrupt: faults are undone
            self._join()

    def _start(self, fault: Fault) -> None:
        thread = threading.Thread(target=self._strike, args=(fault,), name=f"fault {fault.kind}")
        self._threads.append(thread)
        thread.start()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _wait_recovered(self) -> None:
        first_true(
            lambda: self._all_over() and self.recovered(),
            within_seconds=min(self.until - time.time(), RECOVERED_WITHIN_SECONDS),
            poll_seconds=LOOK_SECONDS,
        )

    def _all_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def _pause(self, seconds: float) -> bool:
        """Sleeps; True if the time of the run is over."""
        time.sleep(max(0.0, min(seconds, self.until - time.time())))
        return time.time() >= self.until

    def _strike(self, fault: Fault) -> None:
        if fault.victim is Victim.WORKER:  # there are several: two faults may strike at once
            self._strike_now(fault)
            return
        with self._free[fault.victim]:
            self._strike_now(fault)

    def _strike_now(self, fault: Fault) -> None:
        if self._stopped.is_set() or time.time() >= self.until:
            self.course.skipped.append((fault, "the run ended before its target was free"))
            return
        started_at, target = time.time(), Target("")
        broken = ""
        try:
            with self.faults.struck(fault) as target:
                say(f"{time.strftime('%H:%M:%S')} {fault.kind}: {target.name}, {fault.lasts_seconds:g} s")
                self._stopped.wait(fault.lasts_seconds)
        except NoTargetError as error:
            self.course.skipped.append((fault, str(error)))
            return
        except DevError as error:
            broken = str(error)
        self.course.strikes.append(Strike(fault, target, started_at, time.time(), broken))
