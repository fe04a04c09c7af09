"""`python3 -m dev` makes the virtual environment, so it must run where there is none."""

from __future__ import annotations

import subprocess
import sys

from dev.stage.images import ROOT


def test_the_commands_need_no_installed_package():
    without_packages = [sys.executable, "-E", "-S", "-m", "dev", "tools", "--help"]
    done = subprocess.run(without_packages, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "build these programs if they are missing" in done.stdout
