"""The figures of docs/sizing.md and docs/comparison.md are those that were measured, and examples are computed."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest

from jobtide_controller.decide.history import History, Learned
from jobtide_controller.decide.need import PROMISE_USED
from jobtide_controller.decide.reading import Depth, Reading
from jobtide_controller.decide.scaling import decide
from tests.pages import COMPARISON, ROOT, SIZING, shown
from tests.unit.decide.builders import NOW, A, fleet, spec

PAGE = ROOT / SIZING
NUMBER = re.compile(r"(?<![\w.,])\d{1,3}(?:,?\d{3})*(?:\.\d+)?(?![\w,.]\d)")
MEASURED = [
    line
    for page in (PAGE, ROOT / COMPARISON)
    for line in page.read_text().splitlines()
    if line.startswith("| ") and re.search(r"\.md#", line)
]


def sections(path: Path) -> dict[str, str]:
    """The text below each heading, by its anchor; a heading has that of the ones below it too."""
    parts = re.split(r"^(#+) (.*)\n", path.read_text(), flags=re.MULTILINE)[1:]
    found = list(zip(map(len, parts[::3]), parts[1::3], parts[2::3], strict=True))
    return {
        _anchor(heading): text + _below(level, found[place + 1 :]) for place, (level, heading, text) in enumerate(found)
    }


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _below(level: int, following: list[tuple[int, str, str]]) -> str:
    return "".join(text for *_, text in takewhile(lambda one: one[0] > level, following))


NO_FIGURE = re.compile(
    r"^\| [A-Z][A-Za-z ]* \d+\.\d+|\b20\d\d-\d\d\b|\(.*?\)"
)  # a version, a date, the target of a link


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_figure_of_a_row_is_where_its_link_leads(row):
    linked = re.findall(r"\]\((?P<page>[\w./-]+\.md)#([\w-]+)\)", row)
    there = "".join(sections(ROOT / "docs" / page)[anchor] for page, anchor in linked)
    known = [figure.replace(",", "") for figure in NUMBER.findall(there)]
    said = [figure.replace(",", "") for figure in NUMBER.findall(NO_FIGURE.sub("", row))]
    assert [figure for figure in said if figure not in known] == []


def test_most_rows_of_the_page_have_a_link_to_what_they_say():
    (table,) = re.findall(r"\| what \| figures \| where \|\n\|.*\n((?:\|.*\n)+)", PAGE.read_text())
    assert all(row in MEASURED for row in table.splitlines())
    assert len(MEASURED) > 15


def test_every_rival_says_how_it_is_known_and_when():
    (table,) = re.findall(r"## Who should use what\n\n\|.*\n\|.*\n((?:\|.*\n)+)", (ROOT / COMPARISON).read_text())
    rows = table.splitlines()
    assert len(rows) == 13
    assert [row[:40] for row in rows if not re.search(r"\| (M; )?[RE] 2026-\d\d \|$", row)] == []


def test_the_worked_example_is_computed():
    block = shown(SIZING, "worked example")
    names: dict[str, float] = {}
    exec(block, names)
    said = re.findall(r"^(\w+) = .*# ([\d_.]+)", block, re.MULTILINE)
    assert len(said) == block.count("#")
    for name, value in said:
        figures = len(value.replace("_", "").replace(".", "").lstrip("0"))
        assert float(f"{names[name]:.{figures}g}") == float(value), name
    prose = PAGE.read_text().partition("So the queue is small")[2]
    assert f"{names['workers']} to {names['with_headroom']} pods" in prose


def test_the_burst_of_the_page_needs_as_many_workers_as_it_says():
    learned = History(types={"a": Learned(slot_seconds=1_200, jobs=1_000, ran_seconds=900)})
    policy = spec(types=["a"], maxWaitSeconds=30, maxReplicas=1_000)
    decision = decide(policy, Reading(NOW, {A: Depth(due=2_000)}), fleet(0), learned, NOW, None)
    assert f"workers that start in 10 s: **{decision.replicas} workers**" in PAGE.read_text()
    assert f"within {PROMISE_USED} of the promise" in PAGE.read_text()
