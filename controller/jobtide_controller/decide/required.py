"""How many workers the promise needs, before any limit: the least constant rate that meets all deadlines.

Rows that wait now must start within the promise; rows yet to come have the whole promise from their own
arrival. So it is the greater of backlog over time left and the lasting load, never their sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jobtide_controller.decide.arithmetic import ceil, clamp_int
from jobtide_controller.decide.learn import estimated_due
from jobtide_controller.decide.load import band, base, hold, is_over, lasting_load
from jobtide_controller.decide.need import Need, Situation, is_awake, need, startable


@dataclass(frozen=True, slots=True)
class Numbers:
    """Everything that the raw want follows from; `recomputed` is the proof."""

    current_replicas: int = 0
    ready: int = 0
    busy: int = 0
    concurrency: int = 1
    promise_seconds: float = 0.0
    start_seconds: float = 0.0
    hold_seconds: float = 0.0
    due: float = 0.0  # as reckoned; counting stops early
    later: int = 0
    running: int = 0
    oldest_seconds: float = 0.0
    load_slots: float = 0.0
    service_seconds: float = 0.0
    base_slots: float = 0.0
    low: int = 0
    high: int = 0
    lead_seconds: float = 0.0
    occupied_slots: float = 0.0
    queue_slots: float = 0.0
    per_worker: int = 0  # jobsPerWorker; 0: the promise decides
    awake: int = 0  # 1: something is due, or about to be
    raw: int = 0

    def recomputed(self) -> int:
        """The raw want, from nothing but the numbers here."""
        if self.per_worker:
            return max(ceil((self.queue_slots + self.running) / self.per_worker), self.awake)
        return max(
            clamp_int(self.current_replicas, self.low, self.high),
            ceil((self.occupied_slots + self.queue_slots) / self.concurrency),
            ceil(self.running / self.concurrency),
            self.awake,
        )


def numbers(situation: Situation) -> Numbers:
    """The raw want, with all that led to it."""
    policy, fleet, depths = situation.policy, situation.fleet, situation.reading.depths
    concurrency, promise = policy.concurrency, float(policy.wait_seconds)
    load = lasting_load(situation)
    hold_seconds = hold(policy, fleet, load)
    load_slots = 0.0 if is_over(situation, load, hold_seconds) else load.slots
    base_slots = base(load_slots, load.service_seconds, promise)
    low, high = band(base_slots, load.service_seconds, promise, concurrency)
    lead_seconds, needed = _needed(situation)
    if policy.jobs_per_worker is not None:
        needed = Need(0.0, startable(situation))
    result = Numbers(
        current_replicas=fleet.current_replicas or 0,
        ready=fleet.ready,
        busy=fleet.busy,
        concurrency=concurrency,
        promise_seconds=promise,
        start_seconds=fleet.start_seconds,
        hold_seconds=hold_seconds,
        due=sum(estimated_due(key, depth, situation.history) for key, depth in depths.items()),
        later=sum(depth.later for depth in depths.values()),
        running=sum(depth.running for depth in depths.values()),
        oldest_seconds=max((depth.oldest_age_seconds for depth in depths.values() if depth.due), default=0.0),
        load_slots=load_slots,
        service_seconds=load.service_seconds,
        base_slots=base_slots,
        low=low,
        high=high,
        lead_seconds=lead_seconds,
        occupied_slots=needed.occupied_slots,
        queue_slots=needed.queue_slots,
        per_worker=policy.jobs_per_worker or 0,
        awake=int(is_awake(situation)),
    )
    return replace(result, raw=result.recomputed())


def _needed(situation: Situation) -> tuple[float, Need]:
    """At once if the ready workers will do; else counted from when those that start are up."""
    at_once = need(situation, 0.0)
    if at_once.slots <= situation.fleet.ready * situation.policy.concurrency:
        return 0.0, at_once
    lead_seconds = max(0.0, situation.fleet.start_seconds - _mean_starting_age(situation))
    return lead_seconds, need(situation, lead_seconds)


def _mean_starting_age(situation: Situation) -> float:
    ages = [situation.now - pod.created_at for pod in situation.fleet.starting]
    return max(0.0, sum(ages) / len(ages)) if ages else 0.0
