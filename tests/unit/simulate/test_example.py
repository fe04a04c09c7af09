"""The README of each example shows the output of its command."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from jobtide_controller.simulate.command import main
from tests.pages import BY_THE_CLOCK, CHOOSING_A_PROMISE, ROOT, SHORT_AND_LONG_PROMISES, shown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # some 10 s; the machine may have other things to do

SIMULATE = ["python", "-m", "jobtide_controller", "simulate"]


@pytest.mark.parametrize(
    ("page", "block"),
    [
        pytest.param(CHOOSING_A_PROMISE, shown(CHOOSING_A_PROMISE, "simulation"), id="choosing"),
        pytest.param(BY_THE_CLOCK, shown(BY_THE_CLOCK, "simulation"), id="clock"),
        pytest.param(SHORT_AND_LONG_PROMISES, shown(SHORT_AND_LONG_PROMISES, "simulation"), id="promises"),
    ],
)
def test_the_readme_shows_the_output_of_the_command(monkeypatch, capsys, page, block):
    folder, command, output = block.split("\n", 2)
    assert folder == f"$ cd {Path(page).parent}"
    words = shlex.split(command.removeprefix("$ "))
    assert words[: len(SIMULATE)] == SIMULATE
    monkeypatch.chdir((ROOT / page).parent)
    assert main(words[len(SIMULATE) :]) == 0
    assert capsys.readouterr().out == output


def test_without_windows_the_pool_of_the_example_is_late_as_its_page_says(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir((ROOT / BY_THE_CLOCK).parent)
    pool = yaml.safe_load(Path("pool.yaml").read_text())
    del pool["spec"]["schedules"]
    (tmp_path / "pool.yaml").write_text(yaml.safe_dump(pool))
    assert main(["--csv", "jobs.csv", "--pool", str(tmp_path / "pool.yaml"), "--start-seconds", "20"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Jobtide")]
    assert line == shown(BY_THE_CLOCK, "without windows").rstrip("\n")
