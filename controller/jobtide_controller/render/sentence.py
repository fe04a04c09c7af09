"""A decision as one sentence, and its numbers as they are stored in the status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from heapq import nlargest
from operator import attrgetter
from typing import Any

from jobtide_controller.decide.arithmetic import ceil
from jobtide_controller.decide.clamps import Clamp, ClampName
from jobtide_controller.decide.reading import Unreadable, UnreadableReason
from jobtide_controller.decide.required import Numbers
from jobtide_controller.decide.scaling import Decision
from jobtide_controller.decide.unserved import COUNTED_JOBS, NAMED, UnservedType
from jobtide_controller.render import display

OTHERS_NAMED = 3  # promises beside the one that decides
_CLAMP_TEXTS = {
    ClampName.UNREADABLE: "held while the database can't be read",
    ClampName.NOT_ALLOWED: "the pool's namespace may not use the database",
    ClampName.COLD_START: "how long such jobs take is not known yet",
    ClampName.ALL_FAILING: "held while every attempt fails",
    ClampName.CONNECTION_BUDGET: "limited by the database's connections ({limit:g} workers)",
    ClampName.MAX_REPLICAS: "limited by maxReplicas ({limit:g})",
    ClampName.MIN_REPLICAS: "kept at minReplicas ({limit:g})",
    ClampName.STABILIZATION: "held until fewer have been enough for {limit:g} s",
    ClampName.BUSY_WORKERS: "kept for {limit:g} workers that are busy or about to be",
    ClampName.PINNED: "pinned by replicas ({limit:g})",
    ClampName.PAUSED: "paused",
}


def sentence(decision: Decision) -> str:
    """8,140 due, oldest 3m12s, 24 running, 2.1 s a job: 41 workers; 41 -> 40 limited by maxReplicas (40)."""
    parts = [] if decision.numbers is None else [_need(decision.numbers) + _other_needs(decision)]
    return "; ".join([*parts, *(clamped(clamp) for clamp in decision.limited_by)])


def clamped(clamp: Clamp) -> str:
    """41 -> 40 limited by maxReplicas (40); without the numbers of workers if they are equal."""
    text = _CLAMP_TEXTS[clamp.name].format(limit=clamp.limit)
    if clamp.window is not None:
        text = f"{text} of window {clamp.window}"
    return text if clamp.before == clamp.after else f"{clamp.before} -> {clamp.after} {text}"


def as_numbers(numbers: Numbers) -> dict[str, float]:
    """For the status, by camelCase name: rounded to nine digits, which is enough to reproduce the decision."""
    return {_camel(name): _rounded(value) for name, value in asdict(numbers).items()}


def from_numbers(stored: Mapping[str, float]) -> Numbers:
    """The inverse of `as_numbers`: a missing number is 0, and one that a newer release added is ignored."""
    known = {name: value for name in _FIELDS if (value := stored.get(_camel(name))) is not None}
    return Numbers(**{name: _FIELDS[name](value) for name, value in known.items()})


def unserved(database: str, found: Sequence[UnservedType]) -> str:
    """'vidoe' (12) and 1 more type wait in database main, ... Without types: none is left."""
    if not found:
        return f"database {database}: every type with waiting jobs has a pool again"
    shown = ", ".join(f"{one.type!r} ({jobs(one.jobs)})" for one in found[:NAMED])
    more = len(found) - NAMED
    also = "" if more <= 0 else f" and {more} more type{'s' * (more > 1)}"
    return (
        f"jobs of {shown}{also} wait in database {database}, and no pool handles them: "
        "add the type to spec.types of a pool, or correct it where the jobs are inserted"
    )


def jobs(number: int) -> str:
    """The jobs of an unserved type, as they were counted."""
    return display.count(number, capped=number >= COUNTED_JOBS)


def unreadable(reading: Unreadable) -> str:
    """A message without times: the same failure always has the same message."""
    if reading.reason is UnreadableReason.NOT_ALLOWED:
        return reading.message
    return f"{reading.message}; the workers stay as they are until the database can be read again"


def due(numbers: Numbers) -> str:
    """8,012 due; at least 10k due where counting stopped; about 277k due where the rest is estimated."""
    how = "" if not numbers.capped else "about " if numbers.uncounted else "at least "
    return f"{how}{display.count(ceil(numbers.due))} due"


def _need(numbers: Numbers) -> str:
    if not (numbers.due or numbers.running):
        return _need_without_jobs(numbers)
    known = [
        due(numbers),
        *([f"oldest {display.age(numbers.oldest_seconds)}"] if _has_age(numbers) else []),
        f"{display.count(numbers.running)} running",
        *([f"{numbers.service_seconds:.3g} s a job"] if numbers.service_seconds else []),
    ]
    law = f"{numbers.per_worker} a worker" if numbers.per_worker else f"promise {numbers.promise_seconds:g} s"
    return f"{', '.join(known)}, {law}: {_workers(numbers.required)}"


def _has_age(numbers: Numbers) -> bool:
    """Not where all due jobs are of paused tenants: none of them is awaited, so they wake no worker."""
    return bool(numbers.due and (numbers.oldest_seconds or numbers.awake))


def _other_needs(decision: Decision) -> str:
    """What the other promises need: (600 s: 9). Those that need the most: a pool may have 64 promises."""
    numbers = decision.numbers
    others = [need for need in decision.needs if numbers is not None and need.seconds != numbers.promise_seconds]
    if numbers is None or not others or not (numbers.due or numbers.running):
        return ""
    most = nlargest(OTHERS_NAMED, others, key=attrgetter("required"))
    shown = [f"{need.seconds} s: {need.required}" for need in others if need in most]
    more = len(others) - len(shown)
    return f" ({', '.join(shown)}{f' and {more} more' if more else ''})"


def _need_without_jobs(numbers: Numbers) -> str:
    if numbers.required == 0:
        return "nothing to do"
    why = "a scheduled job falls due" if numbers.awake else "more jobs are expected"
    return f"nothing waits, {why}: {_workers(numbers.required)}"


def _workers(number: int) -> str:
    return f"{number} worker" if number == 1 else f"{number} workers"


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.9g}")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_FIELDS: dict[str, Callable[[float], Any]] = {field.name: type(field.default) for field in fields(Numbers)}
