"""The number of workers where types have promises of their own.

Workers take the job whose deadline is the earliest, so a job is delayed by those with its own promise or a shorter one,
and not by others. What a promise needs is therefore what a pool of these types alone would need with that promise, and
the pool needs the greatest of these numbers: never their sum, since the time that a long promise leaves is the
time in which the short ones are served. docs/adr/2026-11-29-a-promise-per-type.md has the proof and the measurements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec, Tenants
from jobtide_controller.decide import required
from jobtide_controller.decide.need import Situation, oldest_due
from jobtide_controller.decide.reading import Depth, Key, Reading
from jobtide_controller.decide.required import Numbers

_NOTHING = Numbers()


class PromiseNeed(NamedTuple):
    """What the types with this promise or a shorter one need."""

    seconds: int
    required: int  # workers, before any limit
    types: tuple[str, ...]  # with this promise


def numbers_of(situation: Situation) -> tuple[Numbers, tuple[PromiseNeed, ...]]:
    """The numbers of the promise that needs the most workers, and what each needs; nothing else for a single promise.

    Counts and times that are not computed from a promise are those of the whole pool.
    """
    promises = situation.policy.all_promises
    if not situation.policy.promises or situation.policy.jobs_per_worker is not None:
        return required.numbers_of(situation), ()
    each = [required.numbers_of(_within(situation, seconds)) for seconds in promises]
    most, whole = max(each, key=lambda numbers: numbers.required), each[-1]  # the longest promise is all types'
    needs = tuple(_need(situation.policy, *pair) for pair in zip(promises, each, strict=True))
    totals = replace(
        most,
        due=whole.due,
        due_within=most.due,
        capped=whole.capped,
        uncounted=whole.uncounted,
        later=whole.later,
        oldest_seconds=whole.oldest_seconds,
        hold_seconds=whole.hold_seconds,
        awake=whole.awake,
    )
    return totals, needs


def idle_needs(policy: JobWorkerPoolSpec) -> tuple[PromiseNeed, ...]:
    """Those of a pool without jobs."""
    return tuple(_need(policy, seconds, _NOTHING) for seconds in policy.all_promises) if policy.promises else ()


def is_late(situation: Situation, numbers: Numbers, promised_to: Callable[[float], float]) -> bool:
    """Whether a job waits for longer than promised; `promised_to` has the pool's promise to a job of some age."""
    own = situation.policy.promises
    if not own:
        return numbers.oldest_seconds > promised_to(numbers.oldest_seconds)
    ages = oldest_by_type(situation.policy.tenants, situation.reading)
    return any(age > (own[type_] if type_ in own else promised_to(age)) for type_, age in ages.items())


def oldest_by_type(tenants: Tenants, reading: Reading) -> dict[str, float]:
    """For how long the oldest due row of each type has been due; what a user paused misses no promise."""
    by_type: defaultdict[str, list[tuple[Key, Depth]]] = defaultdict(list)
    for pair in reading.depths.items():
        by_type[pair[0].type].append(pair)
    ages = {type_: oldest_due(tenants, pairs) for type_, pairs in by_type.items()}
    return {type_: age for type_, age in ages.items() if age is not None}


def _need(policy: JobWorkerPoolSpec, seconds: int, numbers: Numbers) -> PromiseNeed:
    types = tuple(type_ for type_ in policy.types if policy.promise_of(type_) == seconds)
    return PromiseNeed(seconds, numbers.required, types)


def _within(situation: Situation, seconds: int) -> Situation:
    """The pool as if it had only the types with this promise or a shorter one. Others hold the slots they run in."""
    policy, history = situation.policy, situation.history
    longer = {type_ for type_ in policy.types if policy.promise_of(type_) > seconds}
    return replace(
        situation,
        policy=policy.model_copy(update={"max_wait_seconds": seconds, "promises": {}}),
        reading=replace(
            situation.reading,
            depths={
                key: Depth(running=depth.running) if key.type in longer else depth
                for key, depth in situation.reading.depths.items()
                if depth.running or key.type not in longer
            },
        ),
        history=replace(
            history, flow={group: pieces for group, pieces in history.flow.items() if group.type not in longer}
        ),
    )
