"""The README of the example shows the output of its command."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from jobtide_controller.simulate.command import main

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[3] / "examples" / "02-choosing-a-promise"


def test_the_readme_shows_the_output_of_the_command(monkeypatch, capsys):
    shown = re.search(
        r"\$ python -m jobtide_controller simulate (.*)\n((?s:.*?))\n```", (EXAMPLE / "README.md").read_text()
    )
    assert shown is not None
    monkeypatch.chdir(EXAMPLE)
    assert main(shlex.split(shown[1])) == 0
    assert capsys.readouterr().out.rstrip("\n") == shown[2]
