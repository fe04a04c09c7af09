"""`python3 -m dev` makes the virtual environment, so it must run where there is none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dev.stage.images import ROOT


def test_the_commands_need_no_installed_package():
    without_packages = [sys.executable, "-E", "-S", "-m", "dev", "tools", "--help"]
    done = subprocess.run(without_packages, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "build these programs if they are missing" in done.stdout


@pytest.mark.parametrize("command", ["dev.bench", "dev.chaos", "dev.demo", "dev.generate", "dev.release", "dev.site"])
def test_an_unknown_argument_starts_nothing(command):
    # With these settings a run that does not read its arguments ends before it does anything.
    environ = {**os.environ, "SECONDS": "1", "JOBS": "-1"}
    program = [sys.executable, "-m", command, "--no-such-flag"]
    done = subprocess.run(program, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("usage: ")
