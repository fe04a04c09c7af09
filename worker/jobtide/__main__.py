"""`jobtide worker acme.jobs:tide`, `jobtide dev acme.jobs:tide`, `jobtide enqueue`, `cron`, `jobs` and `schema`.

Commands that need more than the worker's one dependency are in the controller's package, which the worker never
imports: their modules are found by name, when they are called.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from jobtide._version import __version__
from jobtide.errors import JobtideError
from jobtide.printable import printable_lines

if TYPE_CHECKING:
    from jobtide.schema.problems import Problem


# name -> (module with `main(arguments)`, help, the extra that it needs)
ELSEWHERE = {
    "dev": ("jobtide_controller.embedded.command", "run workers on this machine, scaled by their backlog", "dev"),
}

INTERRUPTED = 130
"""The exit code after ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. The exit code: 0 done, 1 an error, in one sentence on stderr, 2 wrong arguments, 130 ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given and given[0] in ELSEWHERE:
            return _run_elsewhere(given[0], given[1:])
        parsed = _parser().parse_args(given)
        return int(parsed.run(parsed))
    except JobtideError as error:
        print(f"jobtide: {printable_lines(str(error))}", file=sys.stderr)  # noqa: T201 - a command prints its error to stderr
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jobtide", description="One Postgres table as a multi-tenant work queue.")
    parser.add_argument("--version", action="version", version=f"jobtide {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_worker(commands)
    _add_cron(commands)
    from jobtide.commands import doctor, enqueue, jobs
    from jobtide.schema.cli import add_parser

    for name, (_, words, _) in ELSEWHERE.items():
        commands.add_parser(name, help=words, add_help=False)
    enqueue.add_parser(commands)
    jobs.add_parser(commands)
    add_parser(commands, _try_out)
    doctor.add_parser(commands)
    return parser


def _add_worker(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from jobtide.commands.settings import VARIABLES

    width = max(map(len, VARIABLES)) + 2
    table = "\n".join(
        f"  {name:<{width}}{meaning}" + (f" (default {default})" if default else "")
        for name, (default, meaning) in VARIABLES.items()
    )
    worker = commands.add_parser(
        "worker",
        help="claim and run jobs until SIGTERM",
        description="Claims due jobs of the types that the application has handlers for, and runs them until SIGTERM.",
        epilog=f"environment:\n{table}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    worker.add_argument("app", nargs="?", metavar="MODULE:ATTRIBUTE", help="a jobtide.Tide; default: JOBTIDE_APP")
    worker.add_argument(
        "--exec",
        action="append",
        default=[],
        metavar="TYPE=COMMAND",
        dest="programs",
        help="a program that handles jobs of this type: payload on stdin, result on stdout; may be repeated",
    )
    worker.set_defaults(run=_run_worker)


def _add_cron(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    cron = commands.add_parser(
        "cron",
        help="add the next slot of every schedule, and print them",
        description="Adds the next slot of every @tide.cron of the application, as each worker does at its start. "
        "For pools at zero that never had a worker: run it once after a deployment.",
    )
    cron.add_argument("app", nargs="?", metavar="MODULE:ATTRIBUTE", help="a jobtide.Tide; default: JOBTIDE_APP")
    cron.set_defaults(run=_run_cron)


def _run_worker(parsed: argparse.Namespace) -> int:
    # Nothing is claimed until the worker installs its own signal handler: SIGTERM before that is an ordinary end.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    from jobtide.commands.settings import from_environment
    from jobtide.commands.worker import run_worker

    return run_worker(from_environment(app=parsed.app, programs=parsed.programs))


def _run_cron(parsed: argparse.Namespace) -> int:
    from jobtide.commands.cron import add_slots
    from jobtide.commands.settings import from_environment

    return add_slots(from_environment(app=parsed.app))


def _run_elsewhere(name: str, arguments: Sequence[str]) -> int:
    module, _, extra = ELSEWHERE[name]
    try:
        found = import_module(module)
    except ModuleNotFoundError as missing:
        raise JobtideError(f"jobtide {name} needs: pip install 'jobtide[{extra}]' (no {missing.name} here)") from None
    return int(found.main(arguments))


def _try_out(url: str) -> tuple[Problem, ...]:
    """Over the same session as a worker's."""
    from jobtide.queue.session import DatabaseUnreachable, Session
    from jobtide.queue.trial import try_out

    session = Session(lambda: url)
    try:
        return try_out(session.connection())
    except DatabaseUnreachable as error:
        raise JobtideError(f"can't work with the database: {error}") from None
    finally:
        session.close()


if __name__ == "__main__":
    sys.exit(main())
