"""The output of the command: a table, a plot, JSON, and one clear sentence for each error."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from jobtide_controller import __main__ as controller
from jobtide_controller.simulate import plot, table
from jobtide_controller.simulate.command import main
from jobtide_controller.simulate.run import Outcome, Sample
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


def test_the_picture_has_a_line_for_each_law_in_both_panels_and_the_promise():
    drawn = ET.fromstring(plot.svg("a < b", [LAW, OTHER]))
    words = {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"a < b", "Jobtide, 30 s", "KEDA, target 4, defaults", "promise 30 s", "workers"} <= words
    lines = [path for path in drawn.iter("{http://www.w3.org/2000/svg}path") if path.get("stroke-width") == "1.8"]
    assert len(lines) == 4


def test_a_peak_between_two_points_of_the_picture_is_drawn():
    samples = tuple(Sample(float(second), 7 if second == 5_001 else 1, 0.0) for second in range(10_000))
    heights = {height for _, height in plot.thinned(samples, lambda sample: float(sample.workers))}
    assert heights == {1.0, 7.0}


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
        pytest.param(["--trace", "steady", "--pool", "absent.yaml"], "can't read the pool from absent", id="no-pool"),
    ],
)
def test_an_error_is_one_sentence(arguments, error, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert error in shown
    assert shown.startswith("simulate: ")


def test_every_built_in_trace_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "simulate.md").read_text()
    assert [meaning for meaning in MEANING.values() if f"| {meaning} | " not in page] == []
