"""What must be true of every job, whatever broke."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from dev.chaos.ledger import ENDS, Ledger, Life
from dev.chaos.trouble import Span, Wait, clock
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

# On two busy cores a pod needs some seconds to start, which the promise does not know at first.
WAIT_SLACK_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    words: str


def judge_jobs(jobs: Mapping[UUID, ChaosJob], ledger: Ledger) -> Iterator[Violation]:
    """Every inserted job is there once, in its right end, ended once, with no more attempts than allowed."""
    for stray in ledger.lives.keys() - jobs.keys():
        yield Violation("no job from nowhere", f"job {stray} is in the table, and nobody inserted it")
    for job in jobs.values():
        life = ledger.lives.get(job.id)
        if life is None:
            yield Violation("no job lost", f"{_name(job)} was inserted, and its row is gone")
            continue
        yield from _ended(job, life)
        yield from _executed(job, life, ledger.executions.get(job.id, ()))


def judge_waits(waits: Iterable[Wait], troubles: Sequence[Span]) -> Iterator[Violation]:
    """A job that waited longer than promised did so while something was broken or not yet back."""
    for wait in waits:
        allowed = MAX_WAIT_SECONDS[wait.job.pool] + WAIT_SLACK_SECONDS
        if wait.seconds <= allowed or any(span.overlaps(wait.due_at, wait.claimed_at) for span in troubles):
            continue
        yield Violation(
            "no wait without cause",
            f"{_name(wait.job)} waited {wait.seconds:.1f} s from {clock(wait.due_at)}, allowed {allowed:g} s",
        )


def judge_claims(
    jobs: Mapping[UUID, ChaosJob], lives: Mapping[UUID, Life], troubles: Sequence[Span]
) -> Iterator[Violation]:
    """A claim that came to nothing was alive while something was broken; only failing jobs do so by themselves."""
    for job in jobs.values():
        life = lives.get(job.id)
        if life is None or job.type in FAILING:
            continue
        for claim in life.claims[:-1]:
            if not any(span.overlaps(claim.at, claim.until) for span in troubles):
                held = claim.until - claim.at
                yield Violation(
                    "no claim lost without cause",
                    f"{_name(job)} was given up by {claim.token} after {held:.1f} s at {clock(claim.until)}",
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
    """The trace that each run of an effect job leaves: no claim is run twice, and no end is without a run."""
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
