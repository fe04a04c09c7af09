"""A bar chart of a comparison as SVG, for light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from dev.bench.comparison import OURS, Comparison, Queue, short

WIDTH = 880
LEFT, RIGHT = 190, 770
TOP = 84
BAR, GAP, GROUP_GAP = 16, 3, 16
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
STYLE = """
  .card { fill: #f8fafc } .text { fill: #334155 } .faint { fill: #64748b }
  .ours { fill: #0369a1 } .ours-text { fill: #0369a1 } .peer { fill: #94a3b8 } .second { fill-opacity: .55 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0f172a } .text { fill: #cbd5e1 } .faint { fill: #94a3b8 }
    .ours { fill: #38bdf8 } .ours-text { fill: #38bdf8 } .peer { fill: #64748b }
  }
"""


def svg(comparison: Comparison) -> str:
    """Returns the text of the SVG: a group of bars for each queue, the best first, one bar for each column."""
    queues = comparison.ordered()
    group = len(comparison.columns) * (BAR + GAP) + GROUP_GAP
    height = TOP + group * len(queues) + 10
    longest = max(comparison.median(queue, column) for queue in queues for column in comparison.columns)
    bars = [
        line
        for place, queue in enumerate(queues)
        for line in _group(comparison, queue, TOP + place * group, (RIGHT - LEFT) / longest)
    ]
    title = f"{comparison.title}, {comparison.unit} ({comparison.better} is better)"
    columns = f"Upper bar: {comparison.columns[0]}. Lower bar: {comparison.columns[1]}. {comparison.how}."
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="t d" font-family="{FONT}">',
        f'<title id="t">{escape(title)}</title>',
        f'<desc id="d">{escape(comparison.table())}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" width="{WIDTH}" height="{height}" rx="10"/>',
        f'<text x="24" y="32" class="text" font-size="16" font-weight="600">{escape(title)}</text>',
        f'<text x="24" y="54" class="faint" font-size="12">{escape(columns)}</text>',
        *bars,
        "</svg>\n",
    ])  # fmt: skip


def _group(comparison: Comparison, queue: Queue, top: float, scale: float) -> Iterator[str]:
    ours = queue.name == OURS
    middle = top + len(comparison.columns) * (BAR + GAP) / 2 + 3
    weight = 'font-weight="600" class="ours-text"' if ours else 'class="text"'
    place_of_name = f'x="{LEFT - 10}" y="{middle:.1f}" font-size="13" text-anchor="end"'
    yield f"<text {place_of_name} {weight}>{escape(queue.name)}</text>"
    for place, column in enumerate(comparison.columns):
        value = comparison.median(queue, column)
        width, y = max(1.0, value * scale), top + place * (BAR + GAP)
        kind = ("ours" if ours else "peer") + (" second" if place else "")
        yield f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>'
        yield f'<text x="{LEFT + width + 6:.1f}" y="{y + 12}" font-size="12" class="faint">{short(value)}</text>'
