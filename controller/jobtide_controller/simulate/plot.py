"""Draws outcomes as an SVG: the wait of the oldest job and the number of workers over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from xml.sax.saxutils import escape

from jobtide_controller.render import display
from jobtide_controller.simulate.run import Outcome, Sample

WIDTH, PANEL_HEIGHT, GAP = 960, 220, 46
LEFT, TOP, RIGHT, LEGEND_LINE = 64, 40, 16, 18
POINTS_MAX = 480
COLOURS = ("#0b7285", "#e8590c", "#7048e8", "#868e96", "#2b8a3e", "#c2255c")  # safe for colour blindness
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "1 2")
PROMISE = "#c92a2a"
ROUND = (4, 8, 12, 16, 20, 24, 32, 40, 60, 80, 100)
TICKS_MAX = 8
TICK_SECONDS = (1, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800)

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart of the SVG: `top` and all results in pixels, `seconds` and `highest` are the ends of its axes."""

    title: str
    top: float
    highest: float
    seconds: float

    def x(self, at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * at / self.seconds

    def y(self, value: float) -> float:
        """A value above the axis is drawn at its end."""
        return self.top + PANEL_HEIGHT * (1.0 - min(value, self.highest) / self.highest)


def svg(title: str, outcomes: Sequence[Outcome]) -> str:
    """Returns the text of the SVG: two panels over the same time, and one line of legend for each outcome."""
    seconds = max([sample.at for outcome in outcomes for sample in outcome.samples], default=0.0) or 1.0
    waits = Panel("wait of the oldest job", TOP, _highest(outcomes, _oldest), seconds)
    workers = Panel("workers", TOP + PANEL_HEIGHT + GAP, _highest(outcomes, _workers), seconds)
    legend_top = workers.top + PANEL_HEIGHT + GAP
    height = legend_top + LEGEND_LINE * len(outcomes) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height:g}" fill="white"/>',
        _text(LEFT, 18, title, size=15),
        *_axes(waits, display.age),
        *_axes(workers, lambda value: f"{value:g}"),
        *_promise(waits, outcomes),
    ]
    for number, outcome in enumerate(outcomes):
        style = f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-dasharray="{DASHES[number % len(DASHES)]}"'
        parts += [_line(waits, outcome, _oldest, style), _line(workers, outcome, _workers, style)]
        parts += _legend(legend_top + LEGEND_LINE * number, outcome.name, style)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _oldest(sample: Sample) -> float:
    return sample.oldest_seconds


def _workers(sample: Sample) -> float:
    return float(sample.workers)


def _highest(outcomes: Sequence[Outcome], value: Callable[[Sample], float]) -> float:
    """The next round number, divisible by 4, that is not below any value."""
    most = max([value(sample) for outcome in outcomes for sample in outcome.samples], default=0.0)
    step = 10.0 ** max(0, len(str(int(most))) - 2)
    return next(step * factor for factor in ROUND if step * factor >= most)


def _axes(panel: Panel, label: Callable[[float], str]) -> list[str]:
    bottom = panel.top + PANEL_HEIGHT
    parts = [_text(LEFT, panel.top - 6, panel.title)]
    for part in range(5):
        value = panel.highest * part / 4
        parts.append(_rule(LEFT, panel.y(value), WIDTH - RIGHT, panel.y(value), "#dee2e6"))
        parts.append(_text(LEFT - 8, panel.y(value) + 4, label(value), anchor="end"))
    step = next((step for step in TICK_SECONDS if panel.seconds / step <= TICKS_MAX), TICK_SECONDS[-1])
    moments = range(0, int(panel.seconds) + 1, step)
    return [*parts, *(_text(panel.x(at), bottom + 16, display.age(at), anchor="middle") for at in moments)]


def _promise(panel: Panel, outcomes: Sequence[Outcome]) -> list[str]:
    promise = outcomes[0].promise_seconds if outcomes else 0.0
    if not 0 < promise <= panel.highest:
        return []
    level = panel.y(promise)
    return [
        _rule(LEFT, level, WIDTH - RIGHT, level, PROMISE),
        _text(WIDTH - RIGHT, level - 4, f"promise {promise:g} s", anchor="end", colour=PROMISE),
    ]


def _line(panel: Panel, outcome: Outcome, value: Callable[[Sample], float], style: str) -> str:
    """A line with steps: between two decisions nothing changes."""
    parts: list[str] = []
    for at, level in thinned(outcome.samples, value):
        x, y = f"{panel.x(at):.1f}", f"{panel.y(level):.1f}"
        parts.append(f"H{x} V{y}" if parts else f"M{x} {y}")
    return f'<path d="{" ".join(parts)}" fill="none" stroke-width="1.8" {style}/>'


def thinned(samples: Sequence[Sample], value: Callable[[Sample], float]) -> list[Point]:
    """The highest and the last sample of each stretch: an average would hide the peaks, which readers look for."""
    width = (samples[-1].at / POINTS_MAX if samples else 0.0) or 1.0
    points: list[Point] = []
    for _, grouped in groupby(samples, key=lambda sample: int(sample.at / width)):
        stretch = list(grouped)
        peak, last = max(stretch, key=value), stretch[-1]
        points += [(peak.at, value(peak)), (last.at, value(last))]
    return points


def _legend(top: float, name: str, style: str) -> list[str]:
    return [
        f'<path d="M{LEFT} {top:g} h36" stroke-width="2.5" {style}/>',
        _text(LEFT + 44, top + 4, name),
    ]


def _rule(left: float, top: float, right: float, bottom: float, colour: str) -> str:
    return f'<path d="M{left:g} {top:.1f} L{right:g} {bottom:.1f}" stroke="{colour}"/>'


def _text(left: float, top: float, text: str, *, size: int = 12, anchor: str = "start", colour: str = "#343a40") -> str:
    return (
        f'<text x="{left:.1f}" y="{top:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )
