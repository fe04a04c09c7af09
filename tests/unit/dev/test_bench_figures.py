from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from dev.bench.chart import svg
from dev.bench.comparison import Comparison, Queue
from dev.bench.pages import Part, replaced, write
from dev.bench.peers.contender import rate
from dev.bench.pgbench import claim_and_finish
from dev.bench.settle import is_settled, until_settled

OURS = Queue("Jobtide", "concurrency 4", {"1 process": [20.0, 30.0, 22.0], "2 processes": [40.0, 44.0, 42.0]})
FAST = Queue("Fast", "all on", {"1 process": [20.0, 20.0, 20.0], "2 processes": [60.0, 60.0, 60.0]}, 1.2)
SLOW = Queue("Slow", "one by one", {"1 process": [2.0, 2.0, 2.0], "2 processes": [2.0, 2.0, 2.0]}, 1.2)


def comparison(**missing: str) -> Comparison:
    return Comparison(
        "Throughput", "jobs/s", "higher", "in turn", ("1 process", "2 processes"), [OURS, SLOW, FAST], missing=missing
    )


def rounds(values: list[float], **limits: int) -> int:
    seen: list[float] = []
    for number in until_settled(seen, **limits):
        seen.append(values[number])  # noqa: PERF401 - the loop reads the list
    return len(seen)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.0, 1.0, 9.0], 3),
        ([1.0, 2.0, 1.0, 1.0, 1.0, 1.0], 5),
        ([1.0, 2.0] * 10, 9),
    ],
    ids=["narrow at once", "one value far off", "never narrow"],
)
def test_rounds_end_when_the_middle_half_is_narrow_or_at_the_limit(values, expected):
    assert rounds(values) == expected


def test_rounds_end_when_the_next_one_would_be_late():
    clock = iter(range(0, 1000, 20))
    seen: list[float] = []
    for number in until_settled(seen, within_seconds=90, now=lambda: next(clock)):
        seen.append(1.0 + number)  # noqa: PERF401 - the loop reads the list
    assert len(seen) == 3


def test_two_values_are_never_settled():
    assert not is_settled([1.0, 1.0])


def test_one_unsettled_list_keeps_the_others_going():
    narrow: list[float] = []
    wide: list[float] = []
    for number in until_settled(narrow, wide, at_most=5):
        narrow.append(1.0)
        wide.append(1.0 + number % 2)
    assert len(narrow) == 5


def test_a_list_that_gets_no_more_values_is_not_waited_for():
    narrow: list[float] = []
    ended: list[float] = [1.0]
    for _ in until_settled(narrow, ended):
        narrow.append(1.0)  # noqa: PERF401 - the loop reads the list
    assert (len(narrow), len(ended)) == (3, 1)


def test_the_rate_ends_with_the_last_end_and_not_with_the_last_start():
    starts = [number * 1_000 for number in range(100)]
    assert rate(starts, ended=180_000) == pytest.approx(80 / 0.16)


def test_the_table_has_the_best_queue_first_and_goals_beside_their_ratios():
    head, _, first, second, third = comparison().table().splitlines()
    assert head == (
        "| queue | 1 process, jobs/s | 2 processes, jobs/s | Jobtide over it, 1 process | Jobtide over it, 2 processes "
        "| goal | met | settings |"
    )
    assert first.startswith("| **Jobtide** | 22.0 (20.0 to 30.0) | 42.0 (40.0 to 44.0) |  |  |  |  |")
    assert second.startswith(
        "| Fast | 20.0 (20.0 to 20.0) | 60.0 (60.0 to 60.0) | 1.10 x | 0.70 x | at least 1.2 x | **no**"
    )
    assert "| 11.00 x | 21.00 x | at least 1.2 x | yes, yes |" in third


def test_a_queue_that_could_not_be_measured_has_a_row_with_its_reason():
    last = comparison(River="`go` was not found\non the PATH").table().splitlines()[-1]
    assert last.startswith("| River | not measured: `go` was not found on the PATH |")


def test_the_figures_are_each_value_and_each_ratio():
    names = {figure.name: figure for figure in comparison().figures()}
    assert len(names) == 10
    assert names["Throughput: Fast, 2 processes"].value == 60
    ratio = names["Throughput: Jobtide over Fast, 2 processes"]
    assert (ratio.value, ratio.goal, ratio.met) == (0.7, 1.2, False)


def test_the_chart_has_a_bar_for_each_value_as_long_as_the_value():
    root = ET.fromstring(svg(comparison()))
    bars = [bar for bar in root.iter("{http://www.w3.org/2000/svg}rect") if bar.get("class") != "card"]
    assert [bar.get("width") for bar in bars] == ["212.7", "406.0", "193.3", "580.0", "19.3", "19.3"]


def test_a_page_changes_only_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: throughput -->\nold\n<!-- end -->\nafter\n")
    written = write([Part("throughput", "2 cores", comparison(), [])], page, tmp_path / "charts")
    text = page.read_text()
    assert text.startswith("before\n<!-- measured: throughput -->\n![Throughput of each queue](charts/")
    assert "throughput.svg)\n\n2 cores\n\n| queue |" in text
    assert text.endswith("<!-- end -->\nafter\n")
    assert written == [page, tmp_path / "charts" / "throughput.svg"]


def test_a_part_without_marks_changes_nothing():
    assert replaced("text\n", {"depth": "new"}) == "text\n"


def test_pgbench_gets_the_worker_s_own_statements_with_every_parameter_filled():
    script = claim_and_finish(batch=500)
    assert "%(" not in script
    assert script.index("array_agg(claimed.id)") < script.index("\\gset") < script.index("UPDATE job_queue AS ended")


def test_an_empty_part_of_a_page_is_filled_and_the_rest_stays():
    empty = "<!-- measured: a -->\n<!-- end -->\nbetween\n<!-- measured: b -->\n<!-- end -->\n"
    assert replaced(empty, {"a": "new"}) == empty.replace("a -->\n", "a -->\nnew\n")
