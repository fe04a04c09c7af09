"""Draws outcomes as an SVG: arrivals, the wait of the oldest job and the number of workers over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from xml.sax.saxutils import escape

from jobtide_controller.render import display
from jobtide_controller.simulate.run import Outcome, Sample
from jobtide_controller.simulate.trace import Trace

WIDTH, PANEL_HEIGHT, ARRIVALS_HEIGHT, GAP = 960, 220, 90, 46
LEFT, TOP, RIGHT, LEGEND_LINE = 64, 40, 16, 18
EXACT_MAX = 480  # samples that are drawn one by one
STRETCHES = 240  # of a longer trace: more would be a solid area
BARS_MAX = 160
COLOURS = ("#0b7285", "#e8590c", "#7048e8", "#868e96", "#2b8a3e", "#c2255c")  # safe for colour blindness
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "1 2")
PROMISE = "#c92a2a"
ARRIVALS = "#adb5bd"
ROUND = (4, 8, 12, 16, 20, 24, 32, 40, 60, 80, 100)
TICKS_MAX = 8
TICK_SECONDS = (
    1,
    10,
    30,
    60,
    120,
    300,
    600,
    1_800,
    3_600,
    7_200,
    21_600,
    43_200,
    86_400,
    172_800,
    604_800,
    2_419_200,
    4_838_400,
)

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart of the SVG: `top` and all results in pixels, `seconds` and `highest` are the ends of its axes."""

    title: str
    top: float
    highest: float
    seconds: float
    height: float = PANEL_HEIGHT

    def x(self, at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * at / self.seconds

    def y(self, value: float) -> float:
        """A value above the axis is drawn at its end."""
        return self.top + self.height * (1.0 - min(value, self.highest) / self.highest)


def svg(title: str, trace: Trace, outcomes: Sequence[Outcome]) -> str:
    """Returns the text of the SVG: three panels over the same time, and one line of legend for each outcome."""
    moments = [sample.at for outcome in outcomes for sample in outcome.samples]
    seconds = max([trace.seconds, *moments]) or 1.0
    bars, every = _arrivals(trace, seconds)
    arrivals = Panel(f"jobs due per {display.age(every)}", TOP, _round(max(bars)), seconds, ARRIVALS_HEIGHT)
    waits = Panel("wait of the oldest job", arrivals.top + ARRIVALS_HEIGHT + GAP, _highest(outcomes, _oldest), seconds)
    workers = Panel("workers", waits.top + PANEL_HEIGHT + GAP, _highest(outcomes, _workers), seconds)
    legend_top = workers.top + PANEL_HEIGHT + GAP
    height = legend_top + LEGEND_LINE * len(outcomes) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height:g}" fill="white"/>',
        _text(LEFT, 18, title, size=15),
        *_axes(arrivals, lambda value: f"{value:,g}", parts=2),
        *_axes(waits, display.age),
        *_axes(workers, lambda value: f"{value:g}"),
        _bars(arrivals, bars, every),
    ]
    for number, outcome in reversed(list(enumerate(outcomes))):  # the first law is on top
        style = f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-dasharray="{DASHES[number % len(DASHES)]}"'
        parts += [_line(waits, outcome, _oldest, style), _line(workers, outcome, _workers, style)]
        parts += _legend(legend_top + LEGEND_LINE * number, outcome.name, style)
    return "\n".join([*parts, *_promises(waits, outcomes), "</svg>"]) + "\n"


def _arrivals(trace: Trace, seconds: float) -> tuple[list[int], float]:
    """How many jobs become due in each bar, and the seconds of a bar."""
    every = float(next((step for step in TICK_SECONDS if seconds / step <= BARS_MAX), TICK_SECONDS[-1]))
    counted = Counter(int(job.startable_at / every) for job in trace.jobs)
    return [counted[number] for number in range(int(seconds / every) + 1)], every


def _bars(panel: Panel, bars: Sequence[int], every: float) -> str:
    bottom = panel.y(0.0)
    drawn = [
        f"M{panel.x(number * every):.1f} {bottom:.1f} V{panel.y(count):.1f} "
        f"H{panel.x(min((number + 1) * every, panel.seconds)):.1f} V{bottom:.1f} Z"
        for number, count in enumerate(bars)
        if count
    ]
    return f'<path d="{" ".join(drawn)}" fill="{ARRIVALS}"/>'


def _oldest(sample: Sample) -> float:
    return sample.oldest_seconds


def _workers(sample: Sample) -> float:
    return float(sample.workers)


def _highest(outcomes: Sequence[Outcome], value: Callable[[Sample], float]) -> float:
    return _round(max([value(sample) for outcome in outcomes for sample in outcome.samples], default=0.0))


def _round(most: float) -> float:
    """The next round number, divisible by 4, that is not below this one."""
    step = 10.0 ** max(0, len(str(int(most))) - 2)
    return next(step * factor for factor in ROUND if step * factor >= most)


def _axes(panel: Panel, label: Callable[[float], str], *, parts: int = 4) -> list[str]:
    bottom = panel.top + panel.height
    drawn = [_text(LEFT, panel.top - 6, panel.title)]
    for part in range(parts + 1):
        value = panel.highest * part / parts
        drawn.append(_rule(LEFT, panel.y(value), WIDTH - RIGHT, panel.y(value), "#dee2e6"))
        drawn.append(_text(LEFT - 8, panel.y(value) + 4, label(value), anchor="end"))
    step = next((step for step in TICK_SECONDS if panel.seconds / step <= TICKS_MAX), TICK_SECONDS[-1])
    moments = range(0, int(panel.seconds) + 1, step)
    return [*drawn, *(_text(panel.x(at), bottom + 16, display.age(at), anchor="middle") for at in moments)]


def _promises(panel: Panel, outcomes: Sequence[Outcome]) -> list[str]:
    own = {one.promise_seconds for outcome in outcomes for one in outcome.types}
    promises = sorted(own | {outcome.promise_seconds for outcome in outcomes if not outcome.types})
    return [part for promise in promises if 0 < promise <= panel.highest for part in _promise(panel, promise)]


def _promise(panel: Panel, promise: float) -> list[str]:
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
    """All samples of a short trace; of a long one, the highest of each stretch: an average would hide the peaks."""
    if len(samples) <= EXACT_MAX:
        return [(sample.at, value(sample)) for sample in samples]
    width = samples[-1].at / STRETCHES
    points: list[Point] = []
    before = 0.0  # the value at the end of the last stretch, which idle time without samples continues
    following = 0  # the number of the next stretch
    for number, grouped in groupby(samples, key=lambda sample: int(sample.at / width)):
        stretch = list(grouped)
        if number > following:
            points.append((following * width, before))
        points.append((number * width, max(map(value, stretch))))
        before, following = value(stretch[-1]), number + 1
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
