"""`python -m jobtide_controller`: reads the settings and runs the controller, or the simulator."""

from __future__ import annotations

import asyncio
import gc
import os
import sys

from kubernetes.aio.config import ConfigException

from jobtide.printable import printable_lines
from jobtide_controller.app import run
from jobtide_controller.settings import Settings, SettingsError
from jobtide_controller.telemetry import logs

# Most allocated objects are parsed JSON, which has no cycles. Python's default, a search for cycles after every 700
# objects, takes as long as the parsing.
COLLECT_AFTER = (10_000, 20, 50)


def main() -> int:
    """Runs the command; returns the exit code: 0, 1 if a part ended by itself, 2 for settings that can't be used."""
    if sys.argv[1:2] == ["simulate"]:
        from jobtide_controller.simulate.command import main as simulate

        return simulate(sys.argv[2:])
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        print(f"jobtide-controller: {printable_lines(str(error))}", file=sys.stderr)  # noqa: T201 - there is no log yet
        return 2
    logs.configure(settings.log_level, settings.log_format)
    gc.set_threshold(*COLLECT_AFTER)
    try:
        return asyncio.run(run(settings))
    except ConfigException as error:
        words = printable_lines(str(error))
        print(f"jobtide-controller: no configuration for the API server: {words}", file=sys.stderr)  # noqa: T201 - it ends here
        return 2


if __name__ == "__main__":
    sys.exit(main())
