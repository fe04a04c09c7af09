"""The rules that pools, pods and leaders must satisfy, regardless of the faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from uuid import UUID

from dev.chaos.disturbance import RECOVERY_SECONDS, Span, clock
from dev.chaos.fleet import Exit, Holding, Pod, Resize
from dev.chaos.judge import Violation
from dev.chaos.ledger import Claim, Life
from dev.chaos.plan import Kind, Victim
from dev.chaos.strikes import Strike
from dev.chaos.workload import MAX_REPLICAS, REFUSED_CLAIM, ChaosJob

# Between a decision and its event are a reading, a write and a watch.
DECISION_SECONDS = 3.0
WHOLE_SECOND = 1.0  # the API server drops fractions
# The holder stops 5 s after it sent its last confirmed renewal; its last write ends at most 2.5 s later.
HANDOVER_SECONDS = 7.5
# These carry out a decision to stop a pod; what they do late can't be revoked.
EXECUTORS = (Victim.API_SERVER, Victim.ETCD, Victim.CONTROLLER_MANAGER)
DELETIONS = (Kind.WORKER_DELETED, Kind.WORKER_DELETED_BY_FORCE)


def judge_resizes(
    resizes: Iterable[Resize], jobs: Mapping[UUID, ChaosJob], lives: Mapping[UUID, Life]
) -> Iterator[Violation]:
    """Never above the maximum, and never to zero while jobs run or wait."""
    for resize in resizes:
        most = MAX_REPLICAS.get(resize.pool, 0)
        if resize.replicas > most:
            yield Violation(
                "never above max",
                f"pool {resize.pool} was set to {resize.replicas} at {clock(resize.at)}, its max is {most}",
            )
        if resize.replicas:
            continue
        for job in jobs.values():
            life = lives.get(job.id)
            if life is not None and job.pool == resize.pool and (doing := _at_work(job, life, resize.at)):
                yield Violation(
                    "never to zero over work",
                    f"pool {resize.pool} went to 0 at {clock(resize.at)} while job {job.id} {doing}",
                )


def judge_stops(pods: Iterable[Pod], strikes: Sequence[Strike], lives: Iterable[Life]) -> Iterator[Violation]:
    """No scale-down stops a pod that has been busy for a while.

    Except when an executor was down: then a pod that was chosen while it was idle may have claimed a job before it is
    stopped. Its drain lets that job finish.
    """
    held: dict[str, list[tuple[UUID, Claim]]] = {}
    for life in lives:
        for claim in life.claims:
            held.setdefault(claim.pod_uid, []).append((life.id, claim))
    ended_by_us = {strike.target.uid for strike in strikes if strike.fault.kind in DELETIONS}
    for pod in pods:
        if pod.asked_to_stop_at is None or not pod.pool or pod.uid in ended_by_us:
            continue
        died_at = [strike.struck_at for strike in strikes if _killed(strike, pod)]
        for job_id, claim in held.get(pod.uid, ()):
            stopped_at = pod.asked_to_stop_at
            if not claim.lasts_over(stopped_at, since_seconds=DECISION_SECONDS, and_seconds=WHOLE_SECOND):
                continue
            dead_already = any(claim.at <= at for at in died_at)
            carried_out_late = _was_down(EXECUTORS, strikes, claim.at - DECISION_SECONDS, stopped_at)
            if not (dead_already or carried_out_late):
                words = f"was asked to stop at {clock(stopped_at)}, {stopped_at - claim.at:.1f} s into job {job_id}"
                yield Violation("no busy pod stopped", f"pod {pod.name} {words}")


def judge_exits(exits: Iterable[Exit], strikes: Sequence[Strike]) -> Iterator[Violation]:
    """No worker ends by itself, whatever its jobs hold: only a fault of its own pod, or the pod's deletion, ends it."""
    for exit_ in exits:
        asked_at = exit_.pod.asked_to_stop_at
        if asked_at is not None and asked_at <= exit_.at + WHOLE_SECOND:
            continue
        own = (strike for strike in strikes if strike.target.uid == exit_.pod.uid)
        if any(
            Span(strike.struck_at - WHOLE_SECOND, strike.healed_at + RECOVERY_SECONDS).overlaps(exit_.at, exit_.at)
            for strike in own
        ):
            continue
        words = f"pod {exit_.pod.name} ended at {clock(exit_.at)} with exit code {exit_.code} ({exit_.reason})"
        yield Violation("no worker ends by itself", words)


def judge_leaders(holdings: Sequence[Holding]) -> Iterator[Violation]:
    """No controller takes the lease before its last holder has certainly stopped, unless that one released it."""
    for before, after in pairwise(holdings):
        gap_seconds = after.acquired_at - before.renewed_at
        if not before.released and gap_seconds < HANDOVER_SECONDS:
            taken = f"{after.holder} took the lease at {clock(after.acquired_at)}"
            yield Violation("one leader at a time", f"{taken}, {gap_seconds:.1f} s after {before.holder} renewed it")


def judge_returns(strikes: Iterable[Strike]) -> Iterator[Violation]:
    """Every target recovers by itself."""
    for strike in strikes:
        if strike.broken:
            yield Violation("everything comes back", f"{strike.fault.kind} ({strike.target.name}): {strike.broken}")


def _at_work(job: ChaosJob, life: Life, at: float) -> str:
    """What the job was doing at that time, if it needed a worker; otherwise empty."""
    if any(claim.lasts_over(at, since_seconds=DECISION_SECONDS) for claim in life.claims):
        return "was running"
    if job.refused == REFUSED_CLAIM:  # it may end without a claim
        return ""
    due_at = life.created_at + (job.delay_seconds or 0.0)
    return "was waiting" if due_at <= at - DECISION_SECONDS and life.first_claim_at > at else ""


def _was_down(victims: Sequence[Victim], strikes: Iterable[Strike], begins_at: float, ends_at: float) -> bool:
    own = (Span(strike.struck_at, strike.healed_at) for strike in strikes if strike.fault.victim in victims)
    return any(span.overlaps(begins_at, ends_at) for span in own)


def _killed(strike: Strike, pod: Pod) -> bool:
    return strike.fault.kind in (Kind.WORKER_KILLED, Kind.WORKER_FROZEN) and strike.target.uid == pod.uid
