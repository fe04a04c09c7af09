"""The jobs that this process has claimed and not ended, each with the context that its handler gets."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from jobtide.context import Context
from jobtide.job import Job

_LOOK_SECONDS = 1.5  # after the claim: shorter jobs never cost a look

_Key = tuple[int, str]  # id and token of a claim; the id as an integer: a UUID takes ten times as long to hash


@dataclass(slots=True)
class InFlightJob:
    """One claimed job. Times are time.monotonic(), in seconds."""

    job: Job
    context: Context
    extend_at: float  # when its lease is to be extended
    look_at: float  # when it is to be seen whether the claim still holds
    timeout_seconds: float | None = None  # counted from the start of its handler
    started: bool = False  # its handler has been called
    thread_id: int | None = None  # of the thread that runs its plain function
    overdue_reported: bool = False
    reported: bool = False  # the server refuses to extend its lease

    @property
    def key(self) -> _Key:
        return _key(self.job)


class InFlight:
    """Each job ends once: the caller that takes it out decides its end, later callers get None. Thread-safe."""

    def __init__(self, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self._jobs: dict[_Key, InFlightJob] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job, claimed_at: float, timeout_seconds: float | None) -> InFlightJob:
        extend_at, look_at = claimed_at + self.lease_seconds / 3, claimed_at + _LOOK_SECONDS
        claimed = InFlightJob(job, Context(job), extend_at, look_at, timeout_seconds)
        with self._lock:
            self._jobs[claimed.key] = claimed
        return claimed

    def take(self, job: Job) -> InFlightJob | None:
        """Takes the job out; None if another caller has done so."""
        with self._lock:
            return self._jobs.pop(_key(job), None)

    def start(self, claimed: InFlightJob, now: float) -> bool:
        """Marks that the handler is about to be called; False if the job was taken out while it waited."""
        with self._lock:
            if claimed.timeout_seconds is not None:
                claimed.context.deadline = now + claimed.timeout_seconds
            claimed.started = claimed.key in self._jobs
            return claimed.started

    def take_unstarted(self) -> list[InFlightJob]:
        """Takes out the jobs that were claimed ahead and whose handler has not been called."""
        with self._lock:
            waiting = [claimed for claimed in self._jobs.values() if not claimed.started]
            for claimed in waiting:
                del self._jobs[claimed.key]
            return waiting

    def all(self) -> list[InFlightJob]:
        with self._lock:
            return list(self._jobs.values())

    def to_extend(self, now: float) -> list[InFlightJob]:
        """The jobs that have used a third of their lease."""
        return [claimed for claimed in self.all() if claimed.extend_at <= now]

    def next_extension_at(self) -> float | None:
        """When the next lease is to be extended, by time.monotonic(); None if no job is claimed."""
        return min((claimed.extend_at for claimed in self.all()), default=None)

    def newly_overdue(self, now: float) -> list[InFlightJob]:
        """The jobs past their timeout, each once."""
        overdue = [
            claimed
            for claimed in self.all()
            if claimed.context.deadline is not None and claimed.context.deadline <= now and not claimed.overdue_reported
        ]
        for claimed in overdue:
            claimed.overdue_reported = True
        return overdue


def _key(job: Job) -> _Key:
    return job.id.int, job.token
