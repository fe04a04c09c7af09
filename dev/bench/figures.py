"""A measured value, and how it is shown and stored."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value and its goal. A ratio compares two things that ran in the same minute."""

    name: str
    value: float
    unit: str
    goal: float | None  # None: for comparison only
    better: Literal["higher", "lower"]
    how: str  # what is compared with what, with which settings
    spread: str = ""  # minimum to maximum of the repetitions
    met: bool | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "met", self._is_met())

    def _is_met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table; missed goals are included."""
    lines = ["| what | measured | spread | goal | met | how |", "|---|---|---|---|---|---|"]
    for figure in figures:
        sign = "at least" if figure.better == "higher" else "at most"
        goal = "" if figure.goal is None else f"{sign} {figure.goal:g} {figure.unit}"
        met = {True: "yes", False: "**no**", None: ""}[figure.met]
        lines.append(
            f"| {figure.name} | {figure.value:.3g} {figure.unit} | {figure.spread} | {goal} | {met} | {figure.how} |"
        )
    return "\n".join(lines)


def write_json(figures: Sequence[Figure], path: Path) -> None:
    """Writes all fields of the figures as a JSON list; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")


def seconds_of(call: Callable[[], object]) -> float:
    """Returns the duration of one call, in seconds."""
    started = perf_counter()
    call()
    return perf_counter() - started


def median_and_spread(values: Sequence[float]) -> tuple[float, str]:
    """Returns the median, and the spread as text, for the fields of a Figure."""
    return statistics.median(values), spread(values)


def spread(values: Sequence[float]) -> str:
    """Returns minimum and maximum with three digits, as text."""
    return f"{min(values):.3g} to {max(values):.3g}"
