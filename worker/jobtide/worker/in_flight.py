"""The jobs in this process's hands, from the claim to the end, each with what its handler sees of itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from uuid import UUID

from jobtide.context import Context
from jobtide.job import Job


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
