"""The number of workers that the promise requires, before any limit.

It is the lowest constant rate that meets all deadlines. Waiting rows must start within what is left of the promise;
later rows have the whole promise from their own arrival. So it is the maximum of backlog over time left and the
lasting load, never their sum. docs/adr/2026-11-24-scaling-law.md compares the alternatives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from jobtide_controller.decide.arithmetic import ceil, clamp_int
from jobtide_controller.decide.learn import estimated_due
from jobtide_controller.decide.load import band, base, hold, lasting_load, load_has_ended
from jobtide_controller.decide.need import Need, Situation, is_awake, need, oldest_due, startable


@dataclass(frozen=True, slots=True)
class Numbers:
    """All numbers that `required` follows from; `recomputed` proves it. The status has them, see render/sentence.py."""

    current_replicas: int = 0  # spec.replicas of the Deployment; 0 without one
    ready: int = 0  # workers
    busy: int = 0  # workers
    concurrency: int = 1  # slots per worker
    promise_seconds: float = 0.0
    start_seconds: float = 0.0  # creation of a pod until it is ready
    hold_seconds: float = 0.0
    due: float = 0.0  # rows; an estimate if counting stopped
    capped: int = 0  # 1: counting stopped, so `due` is about right, or at least so many
    uncounted: float = 0.0  # the rows of `due` that were not counted
    later: int = 0  # rows scheduled or backing off
    running: int = 0  # rows
    oldest_seconds: float = 0.0  # how long the oldest due row has been due
    load_slots: float = 0.0  # lasting load
    service_seconds: float = 0.0  # mean of the lasting load
    base_slots: float = 0.0  # lasting load with headroom
    low: int = 0  # fewest workers for the base
    high: int = 0  # most workers for the base
    lead_seconds: float = 0.0  # until additional workers start to work
    occupied_slots: float = 0.0
    queue_slots: float = 0.0
    per_worker: int = 0  # jobsPerWorker; 0: the promise decides
    due_within: float = 0.0  # of the due rows, those with this promise or a shorter one, where types have their own
    awake: int = 0  # 1: a row is due, or about to be
    required: int = 0  # workers, before any limit

    def recomputed(self) -> int:
        """`required`, from the other numbers alone."""
        if self.per_worker:
            return max(ceil((self.queue_slots + self.running) / self.per_worker), self.awake)
        return max(
            clamp_int(self.current_replicas, self.low, self.high),
            ceil((self.occupied_slots + self.queue_slots) / self.concurrency),
            self.awake,
        )


def numbers_of(situation: Situation) -> Numbers:
    """The number of workers that the promise requires, with all numbers that it follows from."""
    policy, fleet, depths = situation.policy, situation.fleet, situation.reading.depths
    concurrency, promise = policy.concurrency, float(policy.wait_seconds)
    load = lasting_load(situation)
    hold_seconds = hold(policy, fleet, load)
    load_slots = 0.0 if load_has_ended(situation, load, hold_seconds) else load.slots
    base_slots = base(load_slots, load.service_seconds, promise)
    low, high = band(base_slots, load.service_seconds, promise, concurrency)
    lead_seconds, needed = _need_with_lead(situation)
    due = math.fsum(estimated_due(key, depth, situation.history) for key, depth in depths.items())
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
        due=due,
        capped=int(any(depth.capped for depth in depths.values())),
        uncounted=due - sum(depth.due for depth in depths.values()),
        later=sum(depth.later for depth in depths.values()),
        running=sum(depth.running for depth in depths.values()),
        oldest_seconds=oldest_due(policy.tenants, depths.items()) or 0.0,
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
    return replace(result, required=result.recomputed())


def _need_with_lead(situation: Situation) -> tuple[float, Need]:
    """The lead in seconds and the need with it: none if the ready workers are enough, else until new ones are up."""
    without_lead = need(situation, 0.0)
    if without_lead.slots <= situation.fleet.ready * situation.policy.concurrency:
        return 0.0, without_lead
    lead_seconds = max(0.0, situation.fleet.start_seconds - _mean_starting_age(situation))
    return lead_seconds, need(situation, lead_seconds)


def _mean_starting_age(situation: Situation) -> float:
    ages = [situation.now - pod.created_at for pod in situation.fleet.starting]
    return max(0.0, sum(ages) / len(ages)) if ages else 0.0
