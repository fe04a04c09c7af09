"""When the run was disturbed by faults, computed afterwards: delays in that time have a cause."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from dev.chaos.ledger import Life
from dev.chaos.plan import Victim
from dev.chaos.strikes import Strike
from dev.chaos.workload import ChaosJob

RECOVERY_SECONDS = 60.0  # longer after the end of a fault, it explains no delay


@dataclass(frozen=True, slots=True)
class Span:
    """A period, in seconds since 1970, in which these jobs were disturbed; without `jobs`: all of them."""

    begins_at: float
    ends_at: float
    jobs: frozenset[UUID] = frozenset()
    loses_claims: bool = True  # False: workers and their connections live, so only leases can run out

    def overlaps(self, begins_at: float, ends_at: float) -> bool:
        return self.begins_at <= ends_at and begins_at <= self.ends_at

    def explains(self, job: UUID, begins_at: float, ends_at: float) -> bool:
        """True if that job was disturbed in that time."""
        return self.overlaps(begins_at, ends_at) and (not self.jobs or job in self.jobs)


@dataclass(frozen=True, slots=True)
class Wait:
    """From the time at which a job is due to its first claim."""

    job: ChaosJob
    due_at: float
    claimed_at: float

    @property
    def seconds(self) -> float:
        return self.claimed_at - self.due_at


@dataclass(frozen=True, slots=True)
class Recovery:
    """From the end of a fault to the next claim, if jobs were waiting."""

    strike: Strike
    seconds: float


def clock(at: float) -> str:
    """Returns the local time of day, for example 14:05:09, as in the log of faults."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def wait_of(job: ChaosJob, life: Life) -> Wait:
    """Returns the job's wait; without an end (infinite) if it was never claimed."""
    return Wait(job, life.created_at + (job.delay_seconds or 0.0), life.first_claim_at)


def disturbances(strikes: Iterable[Strike], waits: Sequence[Wait], promise_seconds: Mapping[str, float]) -> list[Span]:
    """Each fault with the time after it until no job is overdue, at most RECOVERY_SECONDS."""
    return [
        Span(
            strike.struck_at,
            _recovered_at(strike, waits, promise_seconds),
            strike.target.jobs,
            loses_claims=strike.fault.victim is not Victim.WORKER_LOGIN,
        )
        for strike in strikes
    ]


def recoveries(strikes: Iterable[Strike], waits: Sequence[Wait], claims_at: Sequence[float]) -> list[Recovery]:
    """Returns the recoveries from faults at whose end jobs waited. `claims_at` is in ascending order."""
    found = []
    for strike in strikes:
        if not strike.target.jobs and any(wait.due_at <= strike.healed_at < wait.claimed_at for wait in waits):
            following = next((at for at in claims_at if at >= strike.healed_at), None)
            if following is not None:
                found.append(Recovery(strike, following - strike.healed_at))
    return found


def covered_seconds(spans: Iterable[Span]) -> float:
    """The length of the union of these periods."""
    total, reached = 0.0, float("-inf")
    for span in sorted(spans, key=lambda span: span.begins_at):
        total += max(0.0, span.ends_at - max(span.begins_at, reached))
        reached = max(reached, span.ends_at)
    return total


def _recovered_at(strike: Strike, waits: Sequence[Wait], promise_seconds: Mapping[str, float]) -> float:
    """When the backlog at the end of the fault was claimed, and all jobs that were overdue without a gap after it."""
    if strike.target.jobs:  # the others need no recovery
        return strike.healed_at + RECOVERY_SECONDS
    backlog = [wait.claimed_at for wait in waits if wait.due_at <= strike.healed_at < wait.claimed_at]
    recovered_at = max([strike.healed_at, *backlog])
    overdue = ((wait.due_at + promise_seconds[wait.job.pool], wait.claimed_at) for wait in waits)
    for late_at, claimed_at in sorted(span for span in overdue if span[0] < span[1]):
        if late_at <= recovered_at:
            recovered_at = max(recovered_at, claimed_at)
    return min(recovered_at, strike.healed_at + RECOVERY_SECONDS)
