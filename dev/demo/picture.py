"""`python -m dev.demo.picture RECORDING SVG`: draws a recorded run of the demo, for light and dark pages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

from dev.demo.recording import Recording, Sample, read_recording

WIDTH, HEIGHT = 880, 380
LEFT, RIGHT = 76, 856
TICKS_MAX = 8
TICK_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800)
LINES = 2
ROUND = (2, 4, 6, 8, 10, 12, 16, 20, 24, 30, 40, 50, 60, 80, 100)  # divisible by LINES
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
MONOSPACE = "ui-monospace, 'DejaVu Sans Mono', monospace"
STYLE = """
  .card { fill: #f8fafc } .text { fill: #334155 } .faint { fill: #64748b } .line { stroke: #e2e8f0 }
  .mark { stroke: #64748b }
  .all { stroke: #0369a1 } .all-area { fill: #0369a1; fill-opacity: .10 } .all-text { fill: #0369a1 }
  .quiet { stroke: #c2410c } .quiet-text { fill: #c2410c }
  .workers { stroke: #15803d } .workers-area { fill: #15803d; fill-opacity: .16 } .workers-text { fill: #15803d }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0f172a } .text { fill: #cbd5e1 } .faint { fill: #94a3b8 } .line { stroke: #1e293b }
    .mark { stroke: #94a3b8 }
    .all { stroke: #38bdf8 } .all-area { fill: #38bdf8 } .all-text { fill: #38bdf8 }
    .quiet { stroke: #fb923c } .quiet-text { fill: #fb923c }
    .workers { stroke: #4ade80 } .workers-area { fill: #4ade80 } .workers-text { fill: #4ade80 }
  }
"""

Value = Callable[[Sample], int]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: `top` and `height` in pixels; `highest` and `seconds` are the ends of its axes."""

    top: float
    height: float
    highest: int
    seconds: float

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def x(self, seconds: float) -> float:
        return LEFT + (RIGHT - LEFT) * seconds / self.seconds

    def y(self, value: float) -> float:
        return self.bottom - self.height * value / self.highest


def svg(run: Recording) -> str:
    """The text of the SVG: jobs left above, workers below, over the same time."""
    seconds = run.samples[-1].seconds * 1.02  # room for the last step
    jobs = Panel(96, 124, _rounded(run.jobs), seconds)
    workers = Panel(258, 82, _rounded(max(sample.workers for sample in run.samples)), seconds)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="t d" font-family="{FONT}">',
        f'<title id="t">{escape(_title(run))}</title>',
        f'<desc id="d">{escape(_description(run))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" width="{WIDTH}" height="{HEIGHT}" rx="10"/>',
        _text(24, 30, _title(run), "text", 'font-size="16" font-weight="600"'),
        _text(24, 51, run.last_line, "faint", f'font-size="12" font-family="{MONOSPACE}"'),
        *_axes(jobs, "jobs left"),
        *_axes(workers, "workers"),
        *_moments(workers),
        _area(jobs, run.samples, _jobs, "all-area"),
        _area(workers, run.samples, _workers, "workers-area"),
        _line(jobs, run.samples, _jobs, "all"),
        _line(jobs, run.samples, _quiet_jobs, "quiet"),
        _line(workers, run.samples, _workers, "workers"),
        *_last_end(run, jobs, workers),
        *_legend(jobs.top - 14, "all tenants", "all", 570),
        *_legend(jobs.top - 14, f"the {run.tenants - 1} quiet tenants", "quiet", 690),
        "</svg>",
    ]) + "\n"  # fmt: skip


def _title(run: Recording) -> str:
    return f"make demo: {run.jobs:,} jobs of {run.tenants} tenants on one machine with {run.cores} cores"


def _description(run: Recording) -> str:
    most = max(sample.workers for sample in run.samples)
    ended = _ended_after(run)
    quiet = next(sample.seconds for sample in run.samples if not sample.quiet_jobs and sample.seconds)
    return (
        f"The number of workers goes from 0 to {most} and back to 0. The last job ends after {ended:.0f} s, the last "
        f"one of the {run.tenants - 1} quiet tenants after {quiet:.0f} s."
    )


def _ended_after(run: Recording) -> float:
    """Seconds until no job was left."""
    return next(sample.seconds for sample in run.samples if not sample.jobs and sample.seconds)


def _jobs(sample: Sample) -> int:
    return sample.jobs


def _quiet_jobs(sample: Sample) -> int:
    return sample.quiet_jobs


def _workers(sample: Sample) -> int:
    return sample.workers


def _rounded(value: int) -> int:
    """The next round number that is not below the value: 3,100 -> 4,000, 10 -> 12."""
    step = int(10 ** max(0, len(str(value)) - 2))
    return next(step * factor for factor in ROUND if step * factor >= value)


def _axes(panel: Panel, title: str) -> list[str]:
    parts = [_text(LEFT, panel.top - 10, title, "text", 'font-size="13" font-weight="600"')]
    for part in range(LINES + 1):
        value = panel.highest * part // LINES
        y = panel.y(value)
        parts.append(f'<path class="line" d="M{LEFT} {y:.1f}H{RIGHT}"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{value:,}", "faint", 'font-size="12" text-anchor="end"'))
    return parts


def _moments(panel: Panel) -> list[str]:
    step = next((step for step in TICK_SECONDS if panel.seconds / step <= TICKS_MAX), TICK_SECONDS[-1])
    return [
        _text(panel.x(at), panel.bottom + 20, f"{at} s", "faint", 'font-size="12" text-anchor="middle"')
        for at in range(0, int(panel.seconds) + 1, step)
    ]


def _legend(y: float, label: str, name: str, x: float) -> list[str]:
    return [
        f'<path class="{name}" stroke-width="2.5" d="M{x} {y}h22"/>',
        _text(x + 28, y + 4, label, f"{name}-text", 'font-size="12"'),
    ]


def _last_end(run: Recording, above: Panel, below: Panel) -> list[str]:
    """A few long jobs are too few to be seen among thousands."""
    seconds = _ended_after(run)
    x = above.x(seconds)
    return [
        f'<path class="mark" stroke-dasharray="4 4" d="M{x:.1f} {above.top}V{below.bottom}"/>',
        _text(
            x - 8, above.top + 36, f"last job ends after {seconds:.0f} s", "text", 'font-size="12" text-anchor="end"'
        ),
    ]


def _steps(panel: Panel, samples: Sequence[Sample], value: Value) -> str:
    """Horizontal to the next sample, then vertical: what was seen holds until it was seen to change."""
    first, *rest = _changes(samples, value)
    moves = "".join(f"H{panel.x(at):.1f}V{panel.y(level):.1f}" for at, level in rest)
    return f"M{panel.x(first[0]):.1f} {panel.y(first[1]):.1f}{moves}"


def _changes(samples: Sequence[Sample], value: Value) -> list[tuple[float, int]]:
    """Where the value changes, and the ends: the others are on the line between them."""
    kept = [samples[0]]
    kept += [after for before, after in pairwise(samples) if value(before) != value(after)]
    return [(sample.seconds, value(sample)) for sample in (*kept, samples[-1])]


def _line(panel: Panel, samples: Sequence[Sample], value: Value, name: str) -> str:
    return f'<path class="{name}" fill="none" stroke-width="2" d="{_steps(panel, samples, value)}"/>'


def _area(panel: Panel, samples: Sequence[Sample], value: Value, name: str) -> str:
    return f'<path class="{name}" d="{_steps(panel, samples, value)}V{panel.bottom:.1f}H{LEFT}z"/>'


def _text(x: float, y: float, text: str, name: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{name}" {style}>{escape(text)}</text>'


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(svg(read_recording(source)))
