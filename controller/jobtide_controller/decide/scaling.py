"""The decision: how many workers one pool should have now, and why.

Pure: the same arguments give the same decision, on any machine, at any time. docs/adr has the law and what was
measured; `Numbers` and `limited_by` reproduce the result on paper.

A decision has two steps, because the pools of one database share its connections: `propose` computes what one pool
asks for, `conclude` what it does with the share that it gets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide import clamps
from jobtide_controller.decide.clamps import Clamp, ClampName
from jobtide_controller.decide.fleet import Fleet, Share
from jobtide_controller.decide.history import History, Recommendation, remembered
from jobtide_controller.decide.learn import learn
from jobtide_controller.decide.load import NO_LOAD, hold
from jobtide_controller.decide.need import Situation
from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.decide.reasons import Note, Reason, late_at, notes_of, reason_of, start_note, users_reason
from jobtide_controller.decide.required import Numbers, numbers


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers, why, and all that the next decision needs."""

    replicas: int
    reason: Reason
    limited_by: tuple[Clamp, ...]
    numbers: Numbers | None  # None: there was no reading to compute anything from
    history: History
    wake_at: float | None = None  # decide again at this time, controller's clock; None: at the next tick
    notes: tuple[Note, ...] = ()
    share: Share | None = None  # of the database's connection budget; None: there is no budget


@dataclass(frozen=True, slots=True)
class Proposal:
    """One pool's decision before its database's connections are shared out."""

    policy: JobWorkerPoolSpec
    reading: Reading | Unreadable
    fleet: Fleet
    history: History  # with this reading, unless it is unreadable or the pool is idle
    now: float
    numbers: Numbers | None  # None: unreadable, or idle
    unlimited: Decision  # what the pool would have if its database had no connection budget


def decide(  # noqa: PLR0917 - one value from each stage of the pipeline
    policy: JobWorkerPoolSpec,
    reading: Reading | Unreadable,
    fleet: Fleet,
    history: History,
    now: float,
    share: Share | None = None,
) -> Decision:
    """Both steps. `now` is the controller's clock, in seconds since the epoch."""
    return conclude(propose(policy, reading, fleet, history, now), share)


def propose(
    policy: JobWorkerPoolSpec, reading: Reading | Unreadable, fleet: Fleet, history: History, now: float
) -> Proposal:
    """The first step: reads the table's numbers, learns from them, and sizes the pool by its own rules."""
    if isinstance(reading, Unreadable):
        return Proposal(policy, reading, fleet, history, now, None, _held(policy, fleet, history, now, None))
    if _is_idle(policy, reading, fleet, history):
        return Proposal(policy, reading, fleet, history, now, None, _idle(policy, reading, fleet, history, now))
    return _sized(policy, reading, fleet, history, now)


def conclude(proposal: Proposal, share: Share | None) -> Decision:
    """The second step: the decision within `share` of the database's connections. None: there is no budget."""
    policy, reading, fleet, history, now = (
        proposal.policy, proposal.reading, proposal.fleet, proposal.history, proposal.now,
    )  # fmt: skip
    if share is None:
        return proposal.unlimited
    if isinstance(reading, Unreadable):
        return _held(policy, fleet, history, now, share)
    if proposal.numbers is None:
        if share.workers >= policy.min_replicas:
            return replace(proposal.unlimited, share=share)
        return conclude(_sized(policy, reading, fleet, history, now), share)
    return _decided(Situation(policy, reading, fleet, history, now, share), proposal.numbers)


def _held(policy: JobWorkerPoolSpec, fleet: Fleet, history: History, now: float, share: Share | None) -> Decision:
    """Unknown is not zero: the workers stay, and nothing is learned. Only what the user says counts."""
    current = fleet.current_replicas
    if current is None:  # a Deployment that starts without a reading
        current = policy.min_replicas if share is None else min(policy.min_replicas, share.workers)
    user = clamps.override(policy, share, now, current)
    held = Clamp(ClampName.UNREADABLE, current, current, current)
    reason = users_reason(policy, now) or Reason.UNREADABLE
    wake_at = _pause_end(policy, now)
    return Decision(user.replicas, reason, (held, *user.by), None, history, wake_at, share=share)


def _is_idle(policy: JobWorkerPoolSpec, reading: Reading, fleet: Fleet, history: History) -> bool:
    """No job waits, runs or is remembered: most pools at most times, so it must cost next to nothing."""
    return (
        not reading.depths
        and not history.flow
        and not history.counts
        and history.read_at is not None
        and history.read_at <= reading.taken_at
        and len(history.recommendations) == 1
        and history.recommendations[0].replicas == policy.min_replicas == fleet.current_replicas
        and not fleet.pods[policy.min_replicas :]
        and policy.replicas is None
        and not policy.paused
        and history.failing is None
        and history.late_at is None
    )


def _idle(policy: JobWorkerPoolSpec, reading: Reading, fleet: Fleet, history: History, now: float) -> Decision:
    """What `_decided` would return, without its work."""
    counted = _idle_numbers(
        current_replicas=policy.min_replicas,
        ready=fleet.ready if fleet.pods else 0,
        concurrency=policy.concurrency,
        promise_seconds=float(policy.wait_seconds),
        start_seconds=fleet.start_seconds,
        hold_seconds=hold(policy, fleet, NO_LOAD),
        per_worker=policy.jobs_per_worker or 0,
    )
    return Decision(
        replicas=policy.min_replicas,
        reason=Reason.IDLE if counted.ready >= policy.min_replicas else Reason.SCALING_UP,
        limited_by=_kept_at_min(policy.min_replicas) if policy.min_replicas else (),
        numbers=counted,
        history=History(
            began_at=history.began_at,
            read_at=reading.taken_at,
            types=history.types,
            recommendations=(Recommendation(now, policy.min_replicas),),
        ),
        notes=start_note(policy, counted),
    )


@lru_cache(maxsize=1024)
def _idle_numbers(**known: float) -> Numbers:
    return Numbers(**known)  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _kept_at_min(replicas: int) -> tuple[Clamp, ...]:
    return (Clamp(ClampName.MIN_REPLICAS, 0, replicas, replicas),)


def _sized(policy: JobWorkerPoolSpec, reading: Reading, fleet: Fleet, history: History, now: float) -> Proposal:
    situation = Situation(policy, reading, fleet, learn(policy.tenants, reading, history), now)
    counted = numbers(situation)
    return Proposal(policy, reading, fleet, situation.history, now, counted, _decided(situation, counted))


def _decided(situation: Situation, counted: Numbers) -> Decision:
    policy, now, share = situation.policy, situation.now, situation.share
    sized = clamps.share_out(clamps.size(situation, counted), share)
    history = remembered(
        situation.history,
        now=now,
        replicas=sized.replicas,
        current=counted.current_replicas,
        hold_seconds=counted.hold_seconds,
    )
    history = replace(history, late_at=late_at(policy, counted, history.late_at, now))
    situation = replace(situation, history=history)
    moved = clamps.move(situation, counted, sized.replicas)
    user = clamps.override(policy, share, now, moved.replicas)
    return Decision(
        replicas=user.replicas,
        reason=reason_of(situation, counted, user.replicas, sized.by),
        limited_by=(*sized.by, *moved.by, *user.by),
        numbers=counted,
        history=history,
        wake_at=_wake_at(situation),
        notes=notes_of(situation, counted),
        share=share,
    )


def _wake_at(situation: Situation) -> float | None:
    """The earliest moment after now at which the answer may change by itself.

    Due in 300 s, workers start in 10 s: in 290 s.
    """
    taken_at, lead_seconds = situation.reading.taken_at, situation.fleet.start_seconds
    delays = [
        depth.next_due_at - taken_at - lead_seconds
        for depth in situation.reading.depths.values()
        if depth.next_due_at is not None
    ]
    moments = [situation.now + delay for delay in delays if delay > 0]
    pause_end = _pause_end(situation.policy, situation.now)
    return min(moments if pause_end is None else [*moments, pause_end], default=None)


def _pause_end(policy: JobWorkerPoolSpec, now: float) -> float | None:
    if policy.paused_until is None or not clamps.is_paused(policy, now):
        return None
    return policy.paused_until.timestamp()
