"""Puts measured tables and charts into docs/benchmarks.md, between the marks of each part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.bench.chart import svg
from dev.bench.comparison import Comparison
from dev.bench.figures import Figure, table

PAGE = Path("docs/benchmarks.md")
CHARTS = Path("docs/charts")


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of the benchmark measured, and a line about the run."""

    name: str
    run: str
    comparison: Comparison | None
    others: list[Figure]

    @property
    def figures(self) -> list[Figure]:
        return [*(self.comparison.figures() if self.comparison else []), *self.others]

    def markdown(self) -> str:
        tables = []
        if self.comparison:  # the chart is drawn by the same run, so the link never leads nowhere
            tables = [f"![{self.comparison.title} of each queue](charts/{self.name}.svg)", self.comparison.table()]
        return "\n\n".join([*tables[:1], self.run, *tables[1:], *([table(self.others)] if self.others else [])])


def write(parts: list[Part], page: Path = PAGE, charts: Path = CHARTS) -> list[Path]:
    """Replaces each part that has marks in the page, and draws its chart; returns the files that were written."""
    written = [page]
    page.write_text(replaced(page.read_text(), {part.name: part.markdown() for part in parts}))
    for part in parts:
        if part.comparison is not None:
            charts.mkdir(parents=True, exist_ok=True)
            written.append(charts / f"{part.name}.svg")
            written[-1].write_text(svg(part.comparison))
    return written


def replaced(text: str, blocks: Mapping[str, str]) -> str:
    """The page with new text between `<!-- measured: NAME -->` and `<!-- end -->`."""
    for name, block in blocks.items():
        marks = re.compile(rf"(<!-- measured: {re.escape(name)} -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)
        text = marks.sub(lambda match, block=block: f"{match[1]}{block}\n{match[2]}", text)  # type: ignore[misc]
    return text
