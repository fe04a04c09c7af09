"""`jobtide dev` in an installation that has the worker's packages only."""

from __future__ import annotations

import subprocess
import sys

WITHOUT_YAML = """
import sys
sys.modules["yaml"] = None
from jobtide.__main__ import main
sys.exit(main(["dev", "acme.jobs:tide"]))
"""


def test_a_missing_package_is_one_sentence_with_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT_YAML], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "jobtide: jobtide dev needs: pip install 'jobtide[dev]' (no yaml here)\n",
    )


def test_the_help_of_jobtide_lists_it():
    done = subprocess.run([sys.executable, "-m", "jobtide", "--help"], capture_output=True, text=True, check=True)
    assert "run workers on this machine" in done.stdout
