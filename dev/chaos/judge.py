"""The rules that every job must satisfy, regardless of the faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from dev.chaos.disturbance import Span, Wait, clock
from dev.chaos.ledger import ENDS, Ledger, Life
from dev.chaos.workload import (
    EFFECT,
    FAILING,
    MAX_ATTEMPTS,
    MAX_WAIT_SECONDS,
    POISON,
    POISON_ATTEMPTS,
    ChaosJob,
    expected_result,
)

# On two busy cores a pod takes some seconds to start, which a new pool does not know.
WAIT_SLACK_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken, and one sentence with the job and the numbers."""

    rule: str
    words: str


def judge_jobs(jobs: Mapping[UUID, ChaosJob], ledger: Ledger) -> Iterator[Violation]:
    """Every inserted job has one row, the right outcome, one end, and no more attempts than allowed."""
    for stray in ledger.lives.keys() - jobs.keys():
        yield Violation("no job from nowhere", f"job {stray} is in the table, and the producer did not insert it")
    for job in jobs.values():
        life = ledger.lives.get(job.id)
        if life is None:
            yield Violation("no job lost", f"{_name(job)} was inserted, and its row is missing")
            continue
        yield from _ended(job, life)
        yield from _executed(job, life, ledger.executions.get(job.id, ()))


def judge_waits(waits: Iterable[Wait], disturbances: Sequence[Span]) -> Iterator[Violation]:
    """A job waits longer than promised only during a disturbance."""
    for wait in waits:
        allowed = MAX_WAIT_SECONDS[wait.job.pool] + WAIT_SLACK_SECONDS
        if wait.seconds <= allowed or any(span.overlaps(wait.due_at, wait.claimed_at) for span in disturbances):
            continue
        yield Violation(
            "no wait without cause",
            f"{_name(wait.job)} waited {wait.seconds:.1f} s from {clock(wait.due_at)}, allowed {allowed:g} s",
        )


def judge_claims(
    jobs: Mapping[UUID, ChaosJob], lives: Mapping[UUID, Life], disturbances: Sequence[Span]
) -> Iterator[Violation]:
    """A claim ends without a result only during a disturbance, except for jobs that fail by design."""
    for job in jobs.values():
        life = lives.get(job.id)
        if life is None or job.type in FAILING:
            continue
        for claim in life.claims[:-1]:
            if not any(span.overlaps(claim.at, claim.until) for span in disturbances):
                held = claim.until - claim.at
                yield Violation(
                    "no claim lost without cause",
                    f"{_name(job)} was requeued at {clock(claim.until)}, {held:.1f} s after {claim.token} claimed it",
                )


def _ended(job: ChaosJob, life: Life) -> Iterator[Violation]:
    if life.status not in ENDS:
        yield Violation("every job ends", f"{_name(job)} is {life.status} after {life.attempts} attempts")
        return
    if life.accepted_ends != 1:
        yield Violation("every job ends once", f"{_name(job)} ended {life.accepted_ends} times")
    must = "failed" if job.type == POISON else "completed"
    if life.status != must:
        yield Violation("right end", f"{_name(job)} is {life.status} with {life.result!r}, and must be {must}")
    elif job.type != POISON and life.result != expected_result(job):
        yield Violation("right result", f"{_name(job)} has {life.result!r}, must have {expected_result(job)!r}")
    elif job.type == POISON and f"poison {job.payload['text']}" not in str(life.result):
        yield Violation("right result", f"{_name(job)} failed with {life.result!r}")
    most = POISON_ATTEMPTS if job.type == POISON else MAX_ATTEMPTS
    if not 1 <= life.attempts <= min(most, len(life.claims)):
        claims = len(life.claims)
        yield Violation("bounded attempts", f"{_name(job)}: {life.attempts} attempts, {claims} claims, {most} allowed")


def _executed(job: ChaosJob, life: Life, tokens: Sequence[str]) -> Iterator[Violation]:
    """Each execution of an effect job leaves a row: no claim is executed twice, and no job ends without one."""
    if job.type != EFFECT:
        return
    claimed = {claim.token for claim in life.claims}
    if len(tokens) != len(set(tokens)) or not set(tokens) <= claimed:
        yield Violation("no claim run twice", f"{_name(job)} ran under {list(tokens)}, and was claimed by {claimed}")
    if life.status == "completed" and life.claims[-1].token not in tokens:
        yield Violation(
            "no end without a run", f"{_name(job)} completed under {life.claims[-1].token}, which never ran"
        )


def _name(job: ChaosJob) -> str:
    return f"job {job.id} ({job.type})"
