"""`python -m dev.chaos`: exit code 0 only if no rule was violated."""

from __future__ import annotations

import argparse
import signal
import sys

from dev.chaos.run import run_chaos
from dev.chaos.settings import read_settings
from dev.machine.errors import exit_code


def run() -> bool:
    """Prints the settings with the seed, which repeats the run, and runs it; True if no rule was violated."""
    settings = read_settings()
    print(f"chaos: SECONDS={settings.seconds} SEED={settings.seed}", flush=True)
    return run_chaos(settings)


def _parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog="python -m dev.chaos", description="Runs for SECONDS (30 to 86400); SEED repeats a run. No arguments."
    )


if __name__ == "__main__":
    _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that faults are undone also after SIGTERM
    sys.exit(exit_code(run, interrupted="all faults have been undone"))
