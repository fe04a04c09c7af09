"""The jobs in this process's hands, from the claim to the end, each with what its handler sees of itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from jobtide.job import Job
from jobtide.payload import json_text

Cancellation = Literal["drain", "timeout", "lease lost"]
_making = threading.Lock()


class Context:
    """What a handler may ask for as its second argument."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.deadline: float | None = None  # time.monotonic(), set when the handler starts; None: no timeout
        self._waited_for: threading.Event | None = None  # made when asked for: it costs as much as all the rest
        self.reported: str | None = None  # the last progress as JSON, stored with each lease extension
        self.cancelled_by: Cancellation | None = None
        self._on_cancel: Callable[[], object] | None = None

    @property
    def tenant_id(self) -> UUID:
        return self.job.tenant_id

    @property
    def attempt(self) -> int:
        return self.job.attempt

    @property
    def cancelled(self) -> bool:
        """True once the result is no longer wanted: lease lost, drain time over, timeout. Stop soon."""
        return self.cancelled_by is not None

    def wait_cancelled(self, seconds: float) -> bool:
        """Waits up to `seconds` for cancellation; True if it came. The interruptible form of sleep."""
        with _making:
            self._waited_for = self._waited_for or threading.Event()
        if self.cancelled_by is None:  # or else `cancel` may have looked before there was an event
            self._waited_for.wait(seconds)
        return self.cancelled

    def progress(self, fraction: float, note: str = "") -> None:
        """Remembers how far the job is (0 to 1); it is stored when the lease is next extended, at no extra write."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress({fraction!r}): expected a fraction from 0 to 1")
        self.reported = json_text({"progress": {"fraction": fraction, "note": note}}, "the progress")

    def when_cancelled(self, call: Callable[[], object]) -> None:
        """How the runner stops this job where it can be stopped: the task of a coroutine."""
        self._on_cancel = call

    def cancel(self, why: Cancellation) -> None:
        self.cancelled_by = self.cancelled_by or why
        if self._waited_for is not None:
            self._waited_for.set()
        if self._on_cancel is not None:
            self._on_cancel()


@dataclass(slots=True)
class Flight:
    """One job in hand. Times are time.monotonic()."""

    job: Job
    context: Context
    extend_at: float  # when its lease wants extending
    timeout_seconds: float | None = None  # counted from the start of its handler
    started: bool = False  # its handler has been called
    thread_id: int | None = None  # of a plain function that runs now
    overdue_said: bool = False

    @property
    def key(self) -> tuple[UUID, str]:
        return (self.job.id, self.job.token)


class Flights:
    """Every flight ends once: whoever takes it out decides its end, anybody later gets None."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._flights: dict[tuple[UUID, str], Flight] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._flights)

    def begin(self, job: Job, claimed_at: float, timeout_seconds: float | None) -> Flight:
        flight = Flight(job, Context(job), claimed_at + self._lease_seconds / 3, timeout_seconds)
        with self._lock:
            self._flights[flight.key] = flight
        return flight

    def take(self, job: Job) -> Flight | None:
        with self._lock:
            return self._flights.pop((job.id, job.token), None)

    def start(self, flight: Flight, now: float) -> bool:
        """Marks that the handler is about to be called; False if the job was taken away while it waited."""
        with self._lock:
            if flight.timeout_seconds is not None:
                flight.context.deadline = now + flight.timeout_seconds
            flight.started = flight.key in self._flights
            return flight.started

    def take_unstarted(self) -> list[Flight]:
        """Takes out what was claimed ahead and has not been called yet."""
        with self._lock:
            waiting = [flight for flight in self._flights.values() if not flight.started]
            for flight in waiting:
                del self._flights[flight.key]
            return waiting

    def all(self) -> list[Flight]:
        with self._lock:
            return list(self._flights.values())

    def to_extend(self, now: float) -> list[Flight]:
        """Flights that have used a third of their lease."""
        return [flight for flight in self.all() if flight.extend_at <= now]

    def extended(self, flights: list[Flight], asked_at: float) -> None:
        """The lease now runs from `asked_at` at the earliest: counting from the question is the safe side."""
        for flight in flights:
            flight.extend_at = asked_at + self._lease_seconds / 3

    def next_extension_at(self) -> float | None:
        return min((flight.extend_at for flight in self.all()), default=None)

    def newly_overdue(self, now: float) -> list[Flight]:
        """Flights past their timeout, each once."""
        overdue = [
            flight
            for flight in self.all()
            if flight.context.deadline is not None and flight.context.deadline <= now and not flight.overdue_said
        ]
        for flight in overdue:
            flight.overdue_said = True
        return overdue
