"""The rules that every job must satisfy, regardless of the faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from dev.chaos.disturbance import Span, Wait, clock
from dev.chaos.hostile import Writing
from dev.chaos.hostile_namespace import PoolWriting
from dev.chaos.ledger import ENDS, Ledger, Life
from dev.chaos.workload import (
    EFFECT,
    MAX_ATTEMPTS,
    MAX_WAIT_SECONDS,
    POISON,
    POISON_ATTEMPTS,
    REFUSAL,
    REFUSED_CLAIM,
    REFUSED_RESULT,
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
            yield Violation("no job lost", f"{name_of(job)} was inserted, and its row is missing")
            continue
        yield from _ended(job, life)
        yield from _executed(job, life, ledger.executions.get(job.id, ()))


def judge_waits(waits: Iterable[Wait], disturbances: Sequence[Span]) -> Iterator[Violation]:
    """A job waits longer than promised only during a disturbance."""
    for wait in waits:
        allowed = MAX_WAIT_SECONDS[wait.job.pool] + WAIT_SLACK_SECONDS
        if wait.seconds <= allowed or any(
            span.explains(wait.job.id, wait.due_at, wait.claimed_at) for span in disturbances
        ):
            continue
        yield Violation(
            "no wait without cause",
            f"{name_of(wait.job)} waited {wait.seconds:.1f} s from {clock(wait.due_at)}, allowed {allowed:g} s",
        )


def judge_hostiles(writings: Iterable[Writing]) -> Iterator[Violation]:
    """The hostile tenants wrote, and their walls refused what is not theirs to write."""
    for writing in writings:
        for breach in sorted(writing.breaches):
            yield Violation("walls hold", f"the hostile tenant {writing.name} could {breach}")
        if not writing.stored:
            yield Violation("the hostile tenants write", f"the hostile tenant {writing.name} stored no row")


def judge_hostile_pools(writing: PoolWriting) -> Iterator[Violation]:
    """The hostile namespace wrote, and each of its pools says what became of it; none reached a bug.

    That the well-behaved pools kept their promise beside it is `judge_waits`: this namespace excuses no wait.
    """
    for act in ("created", "refused"):  # a short run may delete none
        if not getattr(writing, act):
            yield Violation("the hostile namespace writes", f"of its pools none was {act}")
    for name in writing.silent:
        yield Violation("every pool says what is wrong", f"pool {name} has no condition Ready for its last spec")
    if bugs := writing.reasons["InternalError"]:
        yield Violation("no pool reaches a bug", f"InternalError was seen {bugs} times; the log has the tracebacks")


def _ended(job: ChaosJob, life: Life) -> Iterator[Violation]:
    if life.status not in ENDS:
        yield Violation("every job ends", f"{name_of(job)} is {life.status} after {life.attempts} attempts")
        return
    if life.accepted_ends != 1:
        yield Violation("every job ends once", f"{name_of(job)} ended {life.accepted_ends} times")
    may = _ends(job)
    if life.status not in may:
        must = " or ".join(sorted(may))
        yield Violation("right end", f"{name_of(job)} is {life.status} with {life.result!r}, and must be {must}")
    elif life.status == "completed" and life.result != expected_result(job):
        yield Violation("right result", f"{name_of(job)} has {life.result!r}, must have {expected_result(job)!r}")
    elif life.status == "failed" and may["failed"] not in str(life.result):
        yield Violation("right result", f"{name_of(job)} failed with {life.result!r}")
    most = POISON_ATTEMPTS if job.type == POISON else MAX_ATTEMPTS
    # A job whose claims are refused ends without one.
    if not min(1, len(life.claims)) <= life.attempts <= min(most, len(life.claims)) or not (
        life.claims or job.refused == REFUSED_CLAIM
    ):
        claims = len(life.claims)
        yield Violation(
            "bounded attempts", f"{name_of(job)}: {life.attempts} attempts, {claims} claims, {most} allowed"
        )


def _ends(job: ChaosJob) -> dict[str, str]:
    """The statuses with which the job may end, and words that its error must have."""
    if job.type == POISON:
        return {"failed": f"poison {job.payload['text']}"}
    if job.refused == REFUSED_RESULT:
        return {"failed": REFUSAL}
    # The other refusals end, with the time or with the run; then such a job completes.
    return {"completed": ""} | ({"failed": REFUSAL} if job.refused else {})


def _executed(job: ChaosJob, life: Life, tokens: Sequence[str]) -> Iterator[Violation]:
    """Each execution of an effect job leaves a row: no claim is executed twice, and no job ends without one."""
    if job.type != EFFECT:
        return
    claimed = {claim.token for claim in life.claims}
    if len(tokens) != len(set(tokens)) or not set(tokens) <= claimed:
        yield Violation("no claim run twice", f"{name_of(job)} ran under {list(tokens)}, and was claimed by {claimed}")
    if life.status == "completed" and life.claims[-1].token not in tokens:
        yield Violation(
            "no end without a run", f"{name_of(job)} completed under {life.claims[-1].token}, which never ran"
        )


def name_of(job: ChaosJob) -> str:
    """For a violation: the job and its type."""
    return f"job {job.id} ({job.type})"
