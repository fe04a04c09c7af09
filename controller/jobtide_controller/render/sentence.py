"""A decision as one sentence, and its numbers as they are stored in the status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from jobtide_controller.decide.arithmetic import ceil
from jobtide_controller.decide.clamps import Clamp, ClampName
from jobtide_controller.decide.reading import Unreadable, UnreadableReason
from jobtide_controller.decide.required import Numbers
from jobtide_controller.decide.scaling import Decision
from jobtide_controller.decide.unserved import COUNTED_JOBS, NAMED, UnservedType
from jobtide_controller.render import display

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
    parts = [] if decision.numbers is None else [_need(decision.numbers)]
    return "; ".join([*parts, *(clamped(clamp) for clamp in decision.limited_by)])


def clamped(clamp: Clamp) -> str:
    """41 -> 40 limited by maxReplicas (40); without the numbers of workers if they are equal."""
    text = _CLAMP_TEXTS[clamp.name].format(limit=clamp.limit)
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


def _need(numbers: Numbers) -> str:
    if not (numbers.due or numbers.running):
        return _need_without_jobs(numbers)
    known = [
        f"{display.count(ceil(numbers.due))} due",
        *([f"oldest {display.age(numbers.oldest_seconds)}"] if numbers.due else []),
        f"{display.count(numbers.running)} running",
        *([f"{numbers.service_seconds:.3g} s a job"] if numbers.service_seconds else []),
    ]
    law = f"{numbers.per_worker} a worker" if numbers.per_worker else f"promise {numbers.promise_seconds:g} s"
    return f"{', '.join(known)}, {law}: {_workers(numbers.required)}"


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
