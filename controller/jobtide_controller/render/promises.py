"""Promises of single types in words, for the conditions."""

from __future__ import annotations

from jobtide_controller.decide.promises import oldest_by_type
from jobtide_controller.decide.reading import Unreadable
from jobtide_controller.render import display
from jobtide_controller.render.facts import Facts

NAMED = 3


def late_types(facts: Facts) -> str:
    """`thumbs: the oldest has waited 45s of 30 s`; those that exceed their promise most come first."""
    if isinstance(facts.reading, Unreadable):
        return "not known"
    ages = oldest_by_type(facts.spec.tenants, facts.reading)
    promises = {type_: need.seconds for need in facts.decision.needs for type_ in need.types}
    late = sorted(
        (type_ for type_, seconds in promises.items() if ages.get(type_, 0.0) > seconds),
        key=lambda type_: (-ages[type_] / promises[type_], type_),
    )
    if not late:
        return "none is late now"
    shown = [f"{type_}: the oldest has waited {display.age(ages[type_])} of {promises[type_]} s" for type_ in late]
    more = len(late) - NAMED
    return "; ".join([*shown[:NAMED], *([f"and {more} more types"] if more > 0 else [])])


def shortest_promise(facts: Facts) -> tuple[str, int]:
    """The field that sets it, and the seconds."""
    if not facts.decision.needs:
        return "maxWaitSeconds", facts.spec.wait_seconds
    shortest = facts.decision.needs[0]
    named = [type_ for type_ in shortest.types if type_ in facts.spec.promises]
    return (f"promises.{named[0]}" if named else "maxWaitSeconds"), shortest.seconds
