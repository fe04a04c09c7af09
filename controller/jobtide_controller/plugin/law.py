"""The scaling law with its numbers: a reader can compute the number of workers from the printed expressions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jobtide_controller.api.status import ClampStatus
from jobtide_controller.decide.arithmetic import ceil
from jobtide_controller.decide.clamps import Clamp, ClampName
from jobtide_controller.decide.required import Numbers
from jobtide_controller.render import display, sentence

Term = tuple[str, str, int, str]  # name, expression, value, meaning of the numbers

DIGITS_MIN, DIGITS_MAX = 3, 12


def terms(numbers: Numbers) -> list[Term]:
    """Returns the terms of the law: the number of workers before the limits is the greatest of them."""
    if numbers.per_worker:
        return [*_per_worker(numbers), *_awake(numbers)]
    return [*_load(numbers), *_backlog(numbers), *_awake(numbers)]


def limits(clamps: Sequence[ClampStatus]) -> list[tuple[str, str, str]]:
    """`41 -> 40`, the rule and its meaning, in the order in which they apply."""
    return [(f"{clamp.before} -> {clamp.after}", clamp.name, _limit_words(clamp)) for clamp in clamps]


def _load(numbers: Numbers) -> list[Term]:
    value = max(numbers.low, min(numbers.current_replicas, numbers.high))
    expression = f"min(max({numbers.current_replicas}, {numbers.low}), {numbers.high})"
    if not numbers.load_slots:
        return [("load", expression, value, "no lasting load")]
    meaning = (
        f"{numbers.current_replicas} workers now, kept within what a lasting load of {numbers.load_slots:.3g} "
        f"slots needs ({numbers.base_slots:.3g} with headroom, {numbers.service_seconds:.3g} s a job)"
    )
    return [("load", expression, value, meaning)]


def _backlog(numbers: Numbers) -> list[Term]:
    slots = (numbers.occupied_slots, numbers.queue_slots)
    value = ceil(sum(slots) / numbers.concurrency)
    first, second = _exact(slots, numbers.concurrency, value)
    expression = f"ceil(({first} + {second}) / {numbers.concurrency})"
    if not numbers.due:
        return [("backlog", expression, value, "slots that running jobs hold; nothing waits")]
    due = sentence.due(numbers)
    if numbers.due_within:  # types have promises of their own
        due = f"{display.count(ceil(numbers.due_within))} of {due}"
    words = f"slots that running jobs hold, and those that {due} jobs need"
    lead = f", {numbers.lead_seconds:.3g} s of it until workers are up" if numbers.lead_seconds else ""
    return [("backlog", expression, value, f"{words} to start within {numbers.promise_seconds:g} s{lead}")]


def _per_worker(numbers: Numbers) -> list[Term]:
    value = ceil((numbers.queue_slots + numbers.running) / numbers.per_worker)
    (queue,) = _exact((numbers.queue_slots,), numbers.per_worker, value, plus=numbers.running)
    expression = f"ceil(({queue} + {numbers.running}) / {numbers.per_worker})"
    return [("jobs", expression, value, f"due and running jobs, {numbers.per_worker} a worker (jobsPerWorker)")]


def _awake(numbers: Numbers) -> list[Term]:
    words = "a job is due, or about to be" if numbers.awake else "nothing is due, or about to be"
    return [("awake", str(numbers.awake), numbers.awake, words)]


def _limit_words(clamp: ClampStatus) -> str:
    limit = 0.0 if clamp.limit is None else clamp.limit
    if clamp.name not in set(ClampName):
        return f"{limit:g}"  # a rule of a newer controller
    return sentence.clamped(Clamp(ClampName(clamp.name), clamp.after, clamp.after, limit, clamp.window))


def _exact(values: Sequence[float], divisor: int, result: int, *, plus: int = 0) -> list[str]:
    """The fewest digits that give the same whole number of workers."""
    texts = [f"{value:.{DIGITS_MIN}g}" for value in values]
    for digits in range(DIGITS_MIN, DIGITS_MAX + 1):
        texts = [_plain(value, digits) for value in values]
        if math.ceil((sum(map(float, texts)) + plus) / divisor) == result:
            break
    return texts


def _plain(value: float, digits: int) -> str:
    """No exponents: 8140, not 8.14e+03."""
    whole = len(str(int(value)))
    return f"{value:.{max(0, digits - whole)}f}"
