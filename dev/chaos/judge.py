"""The rules that every job must satisfy, regardless of the faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from dev.chaos.disturbance import Span, Wait, clock
from dev.chaos.hostile import Writing
from dev.chaos.ledger import ENDS, Claim, Ledger, Life
from dev.chaos.plan import Victim
from dev.chaos.strikes import Strike
from dev.chaos.workload import (
    EFFECT,
    FAILING,
    LEASE_SECONDS,
    LONG,
    MAX_ATTEMPTS,
    MAX_WAIT_SECONDS,
    POISON,
    POISON_ATTEMPTS,
    RARE,
    REFUSAL,
    REFUSED_CLAIM,
    REFUSED_RESULT,
    SHORT,
    ChaosJob,
    expected_result,
)

# On two busy cores a pod takes some seconds to start, which a new pool does not know.
WAIT_SLACK_SECONDS = 8.0
PLAIN = (SHORT, LONG, RARE)  # their handlers need no database
# docs/worker.md: a worker with an end that has waited so long claims nothing.
STALLED_SECONDS = 3.0
PAUSE_SLACK_SECONDS = 5.0
UNCOUNTED_CRASHES = 2  # docs/adr/2026-11-28-suspects-run-apart.md
CUT_SECONDS = 2.0  # around the end of a connection, in which a claim may lose its answer; or for a claim and a requeue


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
        if wait.seconds <= allowed or any(
            span.explains(wait.job.id, wait.due_at, wait.claimed_at) for span in disturbances
        ):
            continue
        yield Violation(
            "no wait without cause",
            f"{_name(wait.job)} waited {wait.seconds:.1f} s from {clock(wait.due_at)}, allowed {allowed:g} s",
        )


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
                f"{_name(job)} was requeued at {clock(claim.until)}, {held:.1f} s after {claim.token} claimed it",
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
            yield Violation("no attempt lost without cause", f"{_name(job)}: {words}")


def judge_pauses(
    jobs: Mapping[UUID, ChaosJob], lives: Iterable[Life], strikes: Sequence[Strike]
) -> Iterator[Violation]:
    """While the workers' login is refused, a worker with an end that it can't write claims nothing."""
    for strike in strikes:
        if strike.fault.victim is not Victim.WORKER_LOGIN:
            continue
        others = [Span(one.struck_at, one.healed_at) for one in strikes if _may_hold_a_statement(one)]
        locked = frozenset[UUID]().union(*(one.target.jobs for one in strikes))
        ends_due: dict[str, list[tuple[float, float]]] = {}  # by pod: when an end had waited too long, and its writing
        claims: list[Claim] = []
        for life in lives:
            claims += life.claims
            job = jobs.get(life.id)
            if job is None or job.type not in PLAIN or job.refused or job.id in locked or not life.claims:
                continue
            first = life.claims[0]  # later ones may run apart, and begin late
            due_at = first.at + job.payload["seconds"] + STALLED_SECONDS + PAUSE_SLACK_SECONDS
            if due_at < first.until:
                ends_due.setdefault(first.pod_uid, []).append((due_at, first.until))
        for claim in claims:
            if not strike.struck_at + STALLED_SECONDS + PAUSE_SLACK_SECONDS <= claim.at <= strike.healed_at:
                continue
            if any(span.overlaps(strike.struck_at, claim.at) for span in others):
                continue
            late = [due_at for due_at, written_at in ends_due.get(claim.pod_uid, ()) if due_at < claim.at < written_at]
            if late:
                words = f"{claim.token} was claimed at {clock(claim.at)}"
                yield Violation(
                    "no claims while ends wait", f"{words}, {len(late)} ends of its worker were not written"
                )


def judge_hostiles(writings: Iterable[Writing]) -> Iterator[Violation]:
    """The hostile tenants wrote, and their walls refused what is not theirs to write."""
    for writing in writings:
        for breach in sorted(writing.breaches):
            yield Violation("walls hold", f"the hostile tenant {writing.name} could {breach}")
        if not writing.stored:
            yield Violation("the hostile tenants write", f"the hostile tenant {writing.name} stored no row")


def _ended(job: ChaosJob, life: Life) -> Iterator[Violation]:
    if life.status not in ENDS:
        yield Violation("every job ends", f"{_name(job)} is {life.status} after {life.attempts} attempts")
        return
    if life.accepted_ends != 1:
        yield Violation("every job ends once", f"{_name(job)} ended {life.accepted_ends} times")
    may = _ends(job)
    if life.status not in may:
        must = " or ".join(sorted(may))
        yield Violation("right end", f"{_name(job)} is {life.status} with {life.result!r}, and must be {must}")
    elif life.status == "completed" and life.result != expected_result(job):
        yield Violation("right result", f"{_name(job)} has {life.result!r}, must have {expected_result(job)!r}")
    elif life.status == "failed" and may["failed"] not in str(life.result):
        yield Violation("right result", f"{_name(job)} failed with {life.result!r}")
    most = POISON_ATTEMPTS if job.type == POISON else MAX_ATTEMPTS
    # A job whose claims are refused ends without one.
    if not min(1, len(life.claims)) <= life.attempts <= min(most, len(life.claims)) or not (
        life.claims or job.refused == REFUSED_CLAIM
    ):
        claims = len(life.claims)
        yield Violation("bounded attempts", f"{_name(job)}: {life.attempts} attempts, {claims} claims, {most} allowed")


def _ends(job: ChaosJob) -> dict[str, str]:
    """The statuses with which the job may end, and words that its error must have."""
    if job.type == POISON:
        return {"failed": f"poison {job.payload['text']}"}
    if job.refused == REFUSED_RESULT:
        return {"failed": REFUSAL}
    # The other refusals end, with the time or with the run; then such a job completes.
    return {"completed": ""} | ({"failed": REFUSAL} if job.refused else {})


def _attempts_used(job: ChaosJob) -> int:
    """The attempts that the job needs if nothing disturbs it."""
    return POISON_ATTEMPTS if job.type == POISON else job.payload.get("succeeds_at", 1)


def _lost_to_login(job: ChaosJob, claim: Claim, strike: Strike) -> bool:
    """True if the workers' login was refused so long that the lease ran out, or while the claim was answered."""
    if strike.fault.victim is not Victim.WORKER_LOGIN:
        return False
    if abs(claim.at - strike.struck_at) < CUT_SECONDS:
        return True
    lease_seconds = LEASE_SECONDS[job.pool]
    extended_at = max(claim.at, strike.struck_at - lease_seconds / 3)
    return strike.struck_at < claim.until and claim.until >= extended_at + lease_seconds


def _could_not_run_alone(claim: Claim, lost_before: int) -> bool:
    """A job that two crashes took along runs alone; a worker that has another such job requeues it at once."""
    return lost_before >= UNCOUNTED_CRASHES and claim.until - claim.at < CUT_SECONDS


def _may_hold_a_statement(strike: Strike) -> bool:
    """True for a fault in which a claim that was sent before is carried out late."""
    return strike.fault.victim in (Victim.POSTGRES, Victim.WORKER)


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
