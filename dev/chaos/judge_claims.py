"""The rules for claims and attempts: what may take a claim from a job, and what that may cost the job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from dev.chaos.disturbance import Span, clock
from dev.chaos.judge import Violation, name_of
from dev.chaos.ledger import ENDS, Claim, Life
from dev.chaos.plan import Victim
from dev.chaos.strikes import Strike
from dev.chaos.workload import (
    FAILING,
    LEASE_SECONDS,
    LONG,
    POISON,
    POISON_ATTEMPTS,
    RARE,
    SHORT,
    ChaosJob,
)

UNCOUNTED_CRASHES = 2  # docs/adr/2026-11-28-suspects-run-apart.md
# In which a claim may lose its answer when its connection ends, and in which a worker requeues what it can't run alone.
CLAIM_SECONDS = 2.0
PLAIN = (SHORT, LONG, RARE)  # their handlers need no database
# docs/worker.md: a worker with an end that has waited for 3 s claims nothing; a busy machine notices it later.
STALLED_SECONDS = 3.0 + 5.0


def judge_claims(
    jobs: Mapping[UUID, ChaosJob], lives: Mapping[UUID, Life], disturbances: Sequence[Span], strikes: Sequence[Strike]
) -> Iterator[Violation]:
    """A claim ends without a result only for a fault while it lasted, except for jobs that fail by design."""
    for job in jobs.values():
        life = lives.get(job.id)
        if life is None or job.type in FAILING:
            continue
        for number, claim in enumerate(life.claims[:-1]):
            if (
                any(span.loses_claims and span.explains(job.id, claim.at, claim.until) for span in disturbances)
                or any(_lost_to_login(job, claim, strike) for strike in strikes)
                or _could_not_run_alone(claim, lost_before=number)
            ):
                continue
            held = claim.until - claim.at
            yield Violation(
                "no claim lost without cause",
                f"{name_of(job)} was requeued at {clock(claim.until)}, {held:.1f} s after {claim.token} claimed it",
            )


def judge_attempts(jobs: Iterable[ChaosJob], lives: Mapping[UUID, Life]) -> Iterator[Violation]:
    """Only errors of the handler cost an attempt, and crashes once the job ran alone: from the third one on."""
    for job in jobs:
        life = lives.get(job.id)
        if life is None or life.status not in ENDS or not life.claims:
            continue
        least = _attempts_used(job)
        crashes = max(0, len(life.claims) - least)
        most = least + max(0, crashes - UNCOUNTED_CRASHES)
        if not least <= life.attempts <= most:
            words = f"{life.attempts} attempts after {len(life.claims)} claims, must be {least} to {most}"
            yield Violation("no attempt lost without cause", f"{name_of(job)}: {words}")


def judge_pauses(
    jobs: Mapping[UUID, ChaosJob], lives: Mapping[UUID, Life], strikes: Sequence[Strike]
) -> Iterator[Violation]:
    """While the workers' login is refused, a worker with an end that it can't write claims nothing."""
    stalls = _stalls(jobs, lives, strikes)
    claims = [claim for life in lives.values() for claim in life.claims]
    for strike in strikes:
        if strike.fault.victim is not Victim.WORKER_LOGIN:
            continue
        for claim in claims:
            if (
                not strike.struck_at + STALLED_SECONDS <= claim.at <= strike.healed_at
                or _may_be_late(claim, strike.struck_at, strikes)
                or not any(span.begins_at < claim.at < span.ends_at for span in stalls.get(claim.pod_uid, ()))
            ):
                continue
            words = f"{claim.token} was claimed at {clock(claim.at)}, while an end of its worker waited"
            yield Violation("no claims while ends wait", words)


def _stalls(
    jobs: Mapping[UUID, ChaosJob], lives: Mapping[UUID, Life], strikes: Iterable[Strike]
) -> dict[str, list[Span]]:
    """By pod: from when an end has waited too long until it was written. Without rows that are refused or locked."""
    locked = frozenset[UUID]().union(*(strike.target.jobs for strike in strikes))
    stalls: dict[str, list[Span]] = {}
    for job in jobs.values():
        if job.type not in PLAIN or job.refused or job.id in locked or job.id not in lives:
            continue
        for claim in lives[job.id].claims[:1]:  # later ones may run apart, and begin late
            stalled_at = claim.at + job.payload["seconds"] + STALLED_SECONDS
            if stalled_at < claim.until:
                stalls.setdefault(claim.pod_uid, []).append(Span(stalled_at, claim.until))
    return stalls


def _attempts_used(job: ChaosJob) -> int:
    """The attempts that the job needs if nothing disturbs it."""
    return POISON_ATTEMPTS if job.type == POISON else job.payload.get("succeeds_at", 1)


def _lost_to_login(job: ChaosJob, claim: Claim, strike: Strike) -> bool:
    """True if the workers' login was refused so long that the lease ran out, or while the claim was answered."""
    if strike.fault.victim is not Victim.WORKER_LOGIN:
        return False
    if abs(claim.at - strike.struck_at) < CLAIM_SECONDS:
        return True
    lease_seconds = LEASE_SECONDS[job.pool]
    extended_at = max(claim.at, strike.struck_at - lease_seconds / 3)
    return strike.struck_at < claim.until and claim.until >= extended_at + lease_seconds


def _could_not_run_alone(claim: Claim, lost_before: int) -> bool:
    """A job that two crashes took along runs alone; a worker that has another such job requeues it at once."""
    return lost_before >= UNCOUNTED_CRASHES and claim.until - claim.at < CLAIM_SECONDS


def _may_be_late(claim: Claim, since: float, strikes: Iterable[Strike]) -> bool:
    """True if a fault of PostgreSQL or this worker delayed its handlers, or a claim that it had sent before."""
    faults = (
        strike
        for strike in strikes
        if strike.fault.victim is Victim.POSTGRES or (strike.target.uid and strike.target.uid == claim.pod_uid)
    )
    return any(Span(fault.struck_at, fault.healed_at).overlaps(since, claim.at) for fault in faults)
