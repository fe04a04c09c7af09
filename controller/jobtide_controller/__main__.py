"""`python -m jobtide_controller`: reads the settings and runs the controller, or another command."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from importlib import import_module

from kubernetes.aio.config import ConfigException

from jobtide._version import __version__
from jobtide.printable import printable_lines
from jobtide_controller.app import run
from jobtide_controller.settings import Settings, SettingsError
from jobtide_controller.telemetry import logs

# Most allocated objects are parsed JSON, which has no cycles. Python's default, a search for cycles after every 700
# objects, takes as long as the parsing.
COLLECT_AFTER = (10_000, 20, 50)


# name -> (module with `main(arguments)`, help). Imported when it is called: the controller needs none of them.
_COMMANDS = {
    "simulate": ("jobtide_controller.simulate.command", "simulate the controller over a trace of arrivals"),
    "selftest": ("jobtide_controller.selftest.command", "test an installation, as helm test does in a pod"),
}


def main() -> int:
    """Runs the command; returns the exit code: 0, 1 if a part ended by itself, 2 for what can't be used."""
    given = sys.argv[1:]
    if given and given[0] in _COMMANDS:
        return int(import_module(_COMMANDS[given[0]][0]).main(given[1:]))
    _parser().parse_args(given)
    return _control()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jobtide-controller",
        usage="%(prog)s [-h] [--version] [COMMAND ...]",
        description="Without a command, runs the controller with the settings in the environment (JOBTIDE_...).",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"jobtide-controller {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, (_, words) in _COMMANDS.items():
        commands.add_parser(name, help=words, add_help=False)
    return parser


def _control() -> int:
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
