"""The output of the command: a table, a plot, JSON, and one clear sentence for each error."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from jobtide_controller import __main__ as controller
from jobtide_controller.simulate import plot, table
from jobtide_controller.simulate.command import main
from jobtide_controller.simulate.run import Outcome, Sample
from jobtide_controller.simulate.trace import Job, Trace
from jobtide_controller.simulate.traces import MEANING

LAW = Outcome(
    "Jobtide, 30 s", (0.0, 1.0, 2.0, 31.5), 30.0, 12, 1_440.0, 800.0, 0, 47, 0,
    (Sample(0.0, 0, 0.0), Sample(1.0, 12, 31.5), Sample(60.0, 0, 0.0)),
)  # fmt: skip
OTHER = Outcome("KEDA, target 4, defaults", (150.0,), 30.0, 40, 360_000.0, 800.0, 3, 9, 1, ())

EXPECTED = (
    "law                           late  wait p50    p99    max  workers max  worker-hours  of bound  busy stopped  changes",  # noqa: E501 - a line of output
    "Jobtide, 30 s                25.0%      1.0s  31.5s  31.5s           12          0.40       1.8             0       47",  # noqa: E501 - a line of output
    "KEDA, target 4, defaults    100.0%      150s   150s   150s           40           100       450             3        9",  # noqa: E501 - a line of output
    "lower bound for any scaler                                                       0.22       1.0",
)


def test_outcomes_are_rows_above_the_bound():
    assert table.text([LAW, OTHER], 800.0) == "\n".join(EXPECTED)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        pytest.param(0.0, "0%", id="none"),
        pytest.param(0.00001, "<0.1%", id="few-are-not-none"),
        pytest.param(0.5, "50.0%", id="half"),
    ],
)
def test_a_few_late_jobs_are_not_zero(share, text):
    assert table.percent(share) == text


SVG = "{http://www.w3.org/2000/svg}"
TRACE = Trace("test", (Job(0.0, 1.0), Job(0.0, 1.0), Job(40.0, 1.0, due_at=59.0)))


def test_the_picture_has_arrivals_a_line_for_each_law_in_both_panels_and_each_promise():
    drawn = ET.fromstring(plot.svg("a < b", TRACE, [LAW, replace(OTHER, promise_seconds=15.0)]))
    words = {text.text for text in drawn.iter(f"{SVG}text")}
    assert {"a < b", "Jobtide, 30 s", "KEDA, target 4, defaults", "promise 15 s", "promise 30 s", "workers"} <= words
    paths = list(drawn.iter(f"{SVG}path"))
    assert len([path for path in paths if path.get("stroke-width") == "1.8"]) == 4
    bars = next(path for path in paths if path.get("fill") == plot.ARRIVALS)
    assert ("jobs due per 1s" in words, bars.get("d").count("M")) == (True, 2)


def test_a_peak_between_two_points_of_the_picture_is_drawn():
    samples = tuple(Sample(float(second), 7 if second == 5_001 else 1, 0.0) for second in range(10_000))
    heights = {height for _, height in plot.thinned(samples, lambda sample: float(sample.workers))}
    assert heights == {1.0, 7.0}


def test_the_line_does_not_drop_between_two_stretches():
    samples = tuple(Sample(float(second), 1, 0.0) for second in range(431_277))
    points = plot.thinned(samples, lambda sample: float(sample.workers))
    assert len({at for at, _ in points}) == len(points) <= plot.STRETCHES + 1


def test_the_picture_of_a_long_trace_has_few_points_and_idle_time_stays_low():
    busy = [Sample(float(second), second % 2, 0.0) for second in range(1_000)]
    night = [Sample(86_400.0 + second, second % 2, 0.0) for second in range(1_001)]
    points = plot.thinned([*busy, *night], lambda sample: float(sample.workers))
    assert len({at for at, _ in points}) == len(points) < 10
    assert [height for at, height in points if 1_000 < at < 80_000] == [1.0 if busy[-1].workers else 0.0]


def _csv(tmp_path, text="arrived_at,service_seconds,type\n0,1,a\n0,1,a\n100,1,b\n"):
    path = tmp_path / "jobs.csv"
    path.write_text(text)
    return str(path)


def test_a_csv_trace_is_simulated_from_the_controllers_own_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["jobtide_controller", "simulate", "--csv", _csv(tmp_path)])
    assert controller.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "jobs: 3 jobs in 100 s, 1 s a job",
        "promise 60 s, 0 to 10 workers of 4 jobs at once",
    ]
    assert [line[:24].rstrip() for line in lines[4:]] == [
        "Jobtide, 60 s",
        "KEDA, target 4, defaults",
        "KEDA, target 4, poll 5,",
        "lower bound for any scal",
    ]


def test_the_json_names_its_units(tmp_path, capsys):
    assert main(["--csv", _csv(tmp_path), "--json", "--keda-polling-seconds", "30"]) == 0
    law, keda = json.loads(capsys.readouterr().out)
    assert (law["attempts"], law["lateShare"], law["unfinished"]) == (3, 0.0, 0)
    assert keda["name"] == "KEDA, target 4, defaults"
    assert keda["workerSeconds"] > law["workerSeconds"] > law["boundSeconds"] > 0


def test_the_pools_types_choose_the_jobs(tmp_path, capsys):
    pool = tmp_path / "pool.yaml"
    pool.write_text(
        "kind: JobWorkerPool\nmetadata: {name: p}\n"
        "spec: {types: [b], template: {spec: {containers: [{name: worker, image: a}]}}}"
    )
    assert main(["--csv", _csv(tmp_path), "--pool", str(pool), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["attempts"] == 1


def test_the_picture_is_written_where_it_was_asked_for(tmp_path):
    picture = tmp_path / "waits.svg"
    assert main(["--csv", _csv(tmp_path), "--plot", str(picture)]) == 0
    assert picture.read_text().startswith("<svg ")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param(["--csv", "absent.csv"], "can't read the trace absent.csv", id="no-file"),
        pytest.param(["--from-table", "postgresql://127.0.0.1:1/x"], "can't read the jobs of the last 7 days", id="db"),
        pytest.param(["--from-table", "@absent"], "No such file or directory: 'absent'", id="no-url-file"),
        pytest.param(
            ["--trace", "trickle", "--plot", "absent/x.svg"], "can't write the plot absent/x.svg: No", id="plot"
        ),
        pytest.param(["--trace", "steady", "--pool", "absent.yaml"], "can't read the pool from absent", id="no-pool"),
    ],
)
def test_an_error_is_one_sentence(arguments, error, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert error in shown
    assert shown.startswith("simulate: ")


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        pytest.param("--keda-stabilization-seconds", "-1", "use a number from 0 to 1,000,000", id="negative"),
        pytest.param("--keda-stabilization-seconds", "nan", "use a number from 0", id="nan"),
        pytest.param("--keda-target", "1e-320", "use a number from 0.001", id="tiny"),
        pytest.param("--tick-seconds", "1e-9", "use a number from 0.1 to 3,600", id="endless"),
        pytest.param("--start-seconds", "1e308", "use a number from 0.001 to 3,600", id="huge"),
        pytest.param("--days", "inf", "use a number from 0.001 to 366", id="inf"),
        pytest.param("--max-replicas", "x", "use a whole number from 1", id="word"),
        pytest.param("--min-replicas", "-1", "use a whole number from 0", id="negative-whole"),
        pytest.param("--promises", "10,,30", "use a whole number from 1", id="list"),
        pytest.param("--service-seconds", "a=nan", "use a number from 0", id="service"),
        pytest.param("--service-seconds", "12", "use TYPE=SECONDS", id="no-type"),
        pytest.param("--seed", "\x1b[31m", r'"\x1b[31m": use a whole number', id="escape"),
        pytest.param("--plot", "x.png", "use a name that ends with .svg", id="png"),
        pytest.param("--plot", "x", "use a name that ends with .svg", id="no-suffix"),
    ],
)
def test_a_flag_that_cannot_be_used_is_one_line_with_flag_value_and_what_to_write(flag, value, expected, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--trace", "steady", flag, value])
    shown = capsys.readouterr().err
    assert stopped.value.code == 2
    assert (shown.count("\n"), f"argument {flag}: " in shown, expected in shown) == (1, True, True), shown


def test_the_head_says_which_promises_are_compared(tmp_path, capsys):
    assert main(["--csv", _csv(tmp_path), "--promises", "10,120"]) == 0
    assert capsys.readouterr().out.splitlines()[1:3] == [
        "promise 60 s, 0 to 10 workers of 4 jobs at once",
        "compared with 10 s and 120 s: each line is late by its own promise, KEDA's by 60 s",
    ]


def test_a_file_with_the_name_of_a_built_in_trace_is_not_described_as_it(tmp_path, capsys):
    path = Path(_csv(tmp_path)).rename(tmp_path / "long.csv")
    assert main(["--csv", str(path)]) == 0
    assert capsys.readouterr().out.startswith("long: 3 jobs")


def test_every_built_in_trace_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "simulate.md").read_text()
    assert [meaning for meaning in MEANING.values() if f"| {meaning} | " not in page] == []
