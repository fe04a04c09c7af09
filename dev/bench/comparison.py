"""Jobtide and the other queues side by side: the figures, one table with a row for each queue."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dev.bench.figures import Figure, median_and_spread

OURS = "Jobtide"
WHOLE_FROM = 100  # smaller values have a decimal


@dataclass(frozen=True, slots=True)
class Queue:
    """One row: the values of each column, one for each round; the rounds of all queues were run in turn."""

    name: str
    settings: str
    values: Mapping[str, Sequence[float]]
    goal: float | None = None  # of Jobtide's median over this queue's, for each column


@dataclass(frozen=True, slots=True)
class Comparison:
    """The first queue is Jobtide. `missing` has the reason of each queue that could not be measured."""

    title: str
    unit: str
    better: Literal["higher", "lower"]
    how: str
    columns: Sequence[str]
    queues: Sequence[Queue]
    goals: Mapping[str, float] = field(default_factory=dict)  # of Jobtide's own values
    missing: Mapping[str, str] = field(default_factory=dict)

    def figures(self) -> list[Figure]:
        """Each value, and Jobtide's over each other queue's."""
        return [self._figure(queue, column) for queue in self.queues for column in self.columns] + [
            self._ratio(queue, column) for queue in self.queues[1:] for column in self.columns
        ]

    def table(self) -> str:
        """A Markdown table: the fastest queue first, Jobtide's ratio and its goal beside each other queue."""
        ratio = [f"Jobtide over it, {column}" for column in self.columns]
        head = ["queue", *(f"{column}, {self.unit}" for column in self.columns), *ratio, "goal", "met", "settings"]
        rows = [self._row(queue) for queue in self.ordered()]
        rows += [
            [name, "not measured: " + _one_line(reason)] + [""] * (len(head) - 2)
            for name, reason in self.missing.items()
        ]
        return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])

    def ordered(self) -> list[Queue]:
        """The best in the first column first."""
        return sorted(
            self.queues, key=lambda queue: self.median(queue, self.columns[0]), reverse=self.better == "higher"
        )

    def median(self, queue: Queue, column: str) -> float:
        return statistics.median(queue.values[column])

    def _row(self, queue: Queue) -> list[str]:
        own = [self._figure(queue, column) for column in self.columns]
        ratios = [] if queue is self.queues[0] else [self._ratio(queue, column) for column in self.columns]
        judged = [figure for figure in [*own, *ratios] if figure.met is not None]
        goals = dict.fromkeys(
            f"{'at least' if f.better == 'higher' else 'at most'} {f.goal:g} {f.unit}" for f in judged
        )
        met = {True: "yes", False: "**no**"}
        name = f"**{queue.name}**" if queue.name == OURS else queue.name
        return [
            name,
            *(self._with_spread(queue, column) for column in self.columns),
            *([f"{figure.value:.2f} x" for figure in ratios] or [""] * len(self.columns)),
            ", ".join(goals),
            ", ".join(met[bool(figure.met)] for figure in judged),
            queue.settings,
        ]

    def _with_spread(self, queue: Queue, column: str) -> str:
        values = queue.values[column]
        median = short(statistics.median(values))
        return f"{median} ({short(min(values))} to {short(max(values))})" if len(values) > 1 else median

    def _figure(self, queue: Queue, column: str) -> Figure:
        value, spread = median_and_spread(queue.values[column])
        goal = self.goals.get(column) if queue is self.queues[0] else None
        name = f"{self.title}: {queue.name}, {column}"
        return Figure(
            name, value, self.unit, goal, self.better, queue.settings, spread if _several(queue, column) else ""
        )

    def _ratio(self, queue: Queue, column: str) -> Figure:
        pairs = zip(self.queues[0].values[column], queue.values[column], strict=True)
        value, spread = median_and_spread([ours / theirs for ours, theirs in pairs])
        name = f"{self.title}: Jobtide over {queue.name}, {column}"
        return Figure(name, value, "x", queue.goal, self.better, self.how, spread if _several(queue, column) else "")


def _several(queue: Queue, column: str) -> bool:
    return len(queue.values[column]) > 1


def short(value: float) -> str:
    """The value with as many digits as say something."""
    return f"{value:,.0f}" if value >= WHOLE_FROM else f"{value:.1f}"


def _one_line(reason: str) -> str:
    return " ".join(reason.replace("|", "/").split())[:200]
