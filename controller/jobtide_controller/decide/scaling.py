"""The decision: how many workers one pool should have now, and why.

Pure: the same arguments give the same decision, on any machine, at any time. `Numbers` and `limited_by` reproduce the
result on paper. docs/adr/2026-11-24-scaling-law.md has the law and the measurements.

A decision has two steps, because the pools of one database share its connections: `propose` computes what one pool
needs, `conclude` the decision within the share that the pool gets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide import clamps
from jobtide_controller.decide.clamps import Clamp, ClampName
from jobtide_controller.decide.fleet import Fleet, Share
from jobtide_controller.decide.history import History, Recommendation, with_recommendation
from jobtide_controller.decide.learn import learn
from jobtide_controller.decide.load import NO_LOAD, hold
from jobtide_controller.decide.need import Situation
from jobtide_controller.decide.promises import PromiseNeed, idle_needs, is_late, numbers_of
from jobtide_controller.decide.reading import Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.reasons import Note, Reason, late_at, notes_of, override_reason, reason_of, start_note
from jobtide_controller.decide.required import Numbers
from jobtide_controller.decide.schedules import InForce, in_force


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers a pool should have, why, and the history for the next decision."""

    replicas: int
    reason: Reason
    limited_by: tuple[Clamp, ...]
    numbers: Numbers | None  # None: the database could not be read
    history: History
    wake_at: float | None = None  # decide again at this time, by the controller's clock; None: at the next tick
    notes: tuple[Note, ...] = ()
    share: Share | None = None  # of the database's connection budget; None: there is no budget
    in_force: InForce | None = None  # the windows by the clock; None: the pool has none
    needs: tuple[PromiseNeed, ...] = ()  # of each promise, the shortest first, where types have their own


@dataclass(frozen=True, slots=True)
class Proposal:
    """One pool's decision before the connections of its database are divided."""

    policy: JobWorkerPoolSpec  # with the limits that hold now
    reading: Reading | Unreadable
    fleet: Fleet
    history: History  # including this reading, unless it failed or the pool is idle
    now: float
    numbers: Numbers | None  # None: the reading failed, or the pool is idle
    unlimited: Decision  # the decision if the database had no connection budget
    in_force: InForce | None = None

    @property
    def needs(self) -> tuple[PromiseNeed, ...]:
        return self.unlimited.needs


def decide(  # noqa: PLR0917 - one value from each stage of the pipeline
    policy: JobWorkerPoolSpec,
    reading: Reading | Unreadable,
    fleet: Fleet,
    history: History,
    now: float,
    share: Share | None = None,
) -> Decision:
    """Both steps. `now` is the controller's clock, in seconds since the epoch; `share` None: there is no budget."""
    return conclude(propose(policy, reading, fleet, history, now), share)


def propose(
    policy: JobWorkerPoolSpec, reading: Reading | Unreadable, fleet: Fleet, history: History, now: float
) -> Proposal:
    """The first step: learns from the reading, and decides by the pool's own rules."""
    windows = in_force(policy, now, fleet.start_seconds)
    policy = policy if windows is None else windows.spec
    if isinstance(reading, Unreadable):
        held = _without_reading(policy, reading, fleet, history, now, None)
        return Proposal(policy, reading, fleet, history, now, None, held, windows)
    if _is_idle(policy, reading, fleet, history):
        idle = _idle(policy, reading, fleet, history, now)
        return Proposal(policy, reading, fleet, history, now, None, idle, windows)
    return _proposed(policy, reading, fleet, history, now, windows)


def conclude(proposal: Proposal, share: Share | None) -> Decision:
    """The second step: the decision within `share` of the database's connections. None: there is no budget."""
    decision = _concluded(proposal, share)
    return decision if proposal.in_force is None else _by_the_clock(decision, proposal.in_force)


def _concluded(proposal: Proposal, share: Share | None) -> Decision:
    one, reading = proposal, proposal.reading
    if share is None:
        return one.unlimited
    if isinstance(reading, Unreadable):
        return _without_reading(one.policy, reading, one.fleet, one.history, one.now, share)
    if one.numbers is None and share.workers >= one.policy.min_replicas:
        return replace(one.unlimited, share=share)
    if one.numbers is None:  # the share limits an idle pool: compute what the short cut left out
        one = _proposed(one.policy, reading, one.fleet, one.history, one.now, one.in_force)
    assert one.numbers is not None
    situation = Situation(one.policy, reading, one.fleet, one.history, one.now, share)
    return _decided(situation, one.numbers, one.needs, one.in_force)


def _by_the_clock(decision: Decision, windows: InForce) -> Decision:
    """The decision with the names of the windows that limit it, and with the time at which they change."""
    by = {ClampName.MIN_REPLICAS: windows.min_by, ClampName.MAX_REPLICAS: windows.max_by}
    return replace(
        decision,
        limited_by=tuple(replace(clamp, window=by.get(clamp.name)) for clamp in decision.limited_by),
        wake_at=min((at for at in (decision.wake_at, windows.changes_at) if at is not None), default=None),
        in_force=windows,
    )


def _without_reading(  # noqa: PLR0917 - one value from each stage of the pipeline
    policy: JobWorkerPoolSpec, reading: Unreadable, fleet: Fleet, history: History, now: float, share: Share | None
) -> Decision:
    if reading.reason is UnreadableReason.NOT_ALLOWED:
        return _not_allowed(fleet, history, share)
    return _unreadable(policy, fleet, history, now, share)


def _not_allowed(fleet: Fleet, history: History, share: Share | None) -> Decision:
    """This is known, unlike a failed reading: the pool has no workers, whatever its user set."""
    current = fleet.current_replicas or 0
    limited_by = (Clamp(ClampName.NOT_ALLOWED, current, 0, 0),)
    return Decision(0, Reason.NOT_ALLOWED, limited_by, None, history, share=share)


def _unreadable(policy: JobWorkerPoolSpec, fleet: Fleet, history: History, now: float, share: Share | None) -> Decision:
    """Unknown is not zero: the workers stay, and nothing is learned. Only the user's overrides take effect."""
    current = fleet.current_replicas
    if current is None:  # the Deployment is created without a reading
        current = policy.min_replicas if share is None else min(policy.min_replicas, share.workers)
    held = Clamp(ClampName.UNREADABLE, current, current, current)
    final = clamps.override(policy, share, now, current)
    reason = override_reason(policy, now) or Reason.UNREADABLE
    wake_at = _pause_end(policy, now)
    return Decision(final.replicas, reason, (held, *final.by), None, history, wake_at, share=share)


def _is_idle(policy: JobWorkerPoolSpec, reading: Reading, fleet: Fleet, history: History) -> bool:
    """No job waits, runs or is in the history. Most pools are idle at most times, so this must be cheap."""
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
    """The decision that `_decided` would return, without its computations."""
    numbers = _idle_numbers(
        current_replicas=policy.min_replicas,
        ready=fleet.ready if fleet.pods else 0,
        concurrency=policy.concurrency,
        promise_seconds=float(policy.all_promises[0]),
        start_seconds=fleet.start_seconds,
        hold_seconds=hold(policy, fleet, NO_LOAD),
        per_worker=policy.jobs_per_worker or 0,
    )
    return Decision(
        replicas=policy.min_replicas,
        reason=Reason.IDLE if numbers.ready >= policy.min_replicas else Reason.SCALING_UP,
        limited_by=_kept_at_min(policy.min_replicas) if policy.min_replicas else (),
        numbers=numbers,
        history=History(
            began_at=history.began_at,
            read_at=reading.taken_at,
            types=history.types,
            recommendations=(Recommendation(now, policy.min_replicas),),
        ),
        notes=start_note(policy, numbers, fleet),
        needs=idle_needs(policy),
    )


@lru_cache(maxsize=1024)
def _idle_numbers(**nonzero: float) -> Numbers:
    return Numbers(**nonzero)  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _kept_at_min(replicas: int) -> tuple[Clamp, ...]:
    return (Clamp(ClampName.MIN_REPLICAS, 0, replicas, replicas),)


def _proposed(  # noqa: PLR0917 - one value from each stage of the pipeline
    policy: JobWorkerPoolSpec,
    reading: Reading,
    fleet: Fleet,
    history: History,
    now: float,
    windows: InForce | None,
) -> Proposal:
    situation = Situation(policy, reading, fleet, learn(policy.tenants, reading, history), now)
    numbers, needs = numbers_of(situation)
    unlimited = _decided(situation, numbers, needs, windows)
    return Proposal(policy, reading, fleet, situation.history, now, numbers, unlimited, windows)


def _decided(
    situation: Situation, numbers: Numbers, needs: tuple[PromiseNeed, ...], windows: InForce | None
) -> Decision:
    policy, now, share = situation.policy, situation.now, situation.share
    recommended = clamps.within_share(clamps.recommend(situation, numbers), share)
    history = with_recommendation(
        situation.history,
        now=now,
        replicas=recommended.replicas,
        current=numbers.current_replicas,
        hold_seconds=numbers.hold_seconds,
    )
    late = is_late(situation, numbers, windows.promised_to if windows else lambda _: float(policy.wait_seconds))
    history = replace(history, late_at=late_at(policy, history.late_at, now, is_late=late))
    situation = replace(situation, history=history)
    scaled = clamps.limit_scale_down(situation, numbers, recommended.replicas)
    final = clamps.override(policy, share, now, scaled.replicas)
    return Decision(
        replicas=final.replicas,
        reason=reason_of(situation, numbers, final.replicas, recommended.by),
        limited_by=(*recommended.by, *scaled.by, *final.by),
        numbers=numbers,
        history=history,
        wake_at=_wake_at(situation),
        notes=notes_of(situation, numbers),
        share=share,
        needs=needs,
    )


def _wake_at(situation: Situation) -> float | None:
    """The earliest time after now at which the decision may change without a new event.

    A row is due in 300 s, workers start in 10 s: in 290 s.
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
    """When a pause with an end is over; None if the pool is not paused, or without an end."""
    if policy.paused_until is None or not clamps.is_paused(policy, now):
        return None
    return policy.paused_until.timestamp()
