"""`python -m dev.demo`: exit code 0 only if every claim of the demo was true."""

from __future__ import annotations

import sys

from dev.demo.run import run_demo
from dev.demo.settings import read_settings
from dev.machine.errors import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(lambda: run_demo(read_settings()), interrupted="run it again, it continues from here"))
