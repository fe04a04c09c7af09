"""`jobtide jobs retry|cancel|run-now|purge`: changes one job, or all that match a filter."""

from __future__ import annotations

import argparse
import getpass
import logging
import math
import signal
from contextlib import suppress

from jobtide.commands.jobs_read import (
    Commands,
    add_filters,
    add_json,
    connected,
    filter_of,
    refuse_if_hidden,
    write,
    write_jobs,
    write_json,
)
from jobtide.errors import JobtideError
from jobtide.operate.change import Action, Change, Preview, preview
from jobtide.operate.filters import Verb
from jobtide.printable import printable
from jobtide.schema.cli import add_url
from jobtide.telemetry import logs

_MOST_PAUSE_SECONDS = 60.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HELP: dict[Verb, tuple[str, str]] = {
    "retry": (
        "make failed jobs pending again",
        "Makes failed jobs pending again, due now and with attempts at 0. A run retries a job once.",
    ),
    "cancel": (
        "end waiting and running jobs as failed",
        "Ends jobs as failed (Cancelled). A running one loses its claim, and what it returns later is refused.",
    ),
    "run-now": ("make jobs that are due later due now", "Makes pending jobs that are due later due now."),
    "purge": (
        "delete ended jobs",
        "Deletes completed and failed jobs that were created before --until. What runs or waits is never deleted.",
    ),
}
_MATCHES: dict[Verb, str] = {
    "retry": "no failed job",
    "cancel": "no pending job, and no running one of Jobtide,",
    "run-now": "no pending job that is due later",
    "purge": "no ended job",
}
_DONE: dict[Verb, str] = {"retry": "retried", "cancel": "cancelled", "run-now": "made due", "purge": "deleted"}


def add_parsers(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the four commands; each sets `run`, which takes the parsed arguments and returns the exit code."""
    for verb, (short, long) in _HELP.items():
        parser = commands.add_parser(
            verb,
            help=short,
            description=f"{long} More than one job needs --yes; --dry-run shows how many they are, and ten of them. "
            "Each batch of 500 is committed alone: a run can be stopped with ctrl-C and repeated.",
        )
        add_url(parser)
        add_filters(parser)
        parser.add_argument("--dry-run", action="store_true", help="change nothing: show the number and ten examples")
        parser.add_argument("--yes", action="store_true", help="also if it concerns more than one job")
        parser.add_argument("--by", metavar="NAME", help="who asks for it, for the log (default: your name here)")
        parser.add_argument(
            "--pause-seconds", type=_pause, default=0.1, metavar="S", help="between two batches (default 0.1)"
        )
        add_json(parser)
        parser.set_defaults(run=_run, verb=verb)


def _run(parsed: argparse.Namespace) -> int:
    verb: Verb = parsed.verb
    with connected(parsed) as connection:
        which = filter_of(parsed, connection)
        if parsed.dry_run or not parsed.yes:
            shown = preview(connection, verb, which)
            if not shown.number:
                refuse_if_hidden(connection)
            if parsed.dry_run:
                _write_preview(shown, as_json=parsed.json)
                return 0
            if shown.number > 1 or shown.is_at_least:
                raise JobtideError(
                    f"nothing was changed: {verb} concerns {_number(shown)}; --dry-run shows them, --yes changes them"
                )
        change = Change(
            connection, verb, which, by=parsed.by or _user(), pause_seconds=parsed.pause_seconds,
            at_most=None if parsed.yes else 1,
        )  # fmt: skip
        code = _finish(change, as_json=parsed.json)
        if not change.action().changed:
            refuse_if_hidden(connection)
    return code


def _finish(change: Change, *, as_json: bool) -> int:
    """Runs it until its end or a signal; a second one does not wait for the server. The action is logged always."""

    def stop(_signal: int, _frame: object) -> None:
        change.stop()
        for number in _SIGNALS:
            signal.signal(number, signal.default_int_handler)

    for number in _SIGNALS:
        signal.signal(number, stop)
    try:
        for progress in change:
            if not as_json and progress.changed:
                write(f"{_DONE[change.verb]} {_jobs(progress.changed)}")
    finally:
        action = change.action()
        _log(action)
    if as_json:
        write_json(action.to_json())
    elif not action.changed and not action.skipped:
        write(f"nothing to {change.verb}: {_MATCHES[change.verb]} matches")
    if action.skipped and not as_json:
        why = (
            f"the server refused: {printable(action.refusal)}"
            if action.refusal
            else "changed or locked in the meantime"
        )
        write(f"left {_jobs(action.skipped)} ({why}): repeat the command for {'it' if action.skipped == 1 else 'them'}")
    return 0 if action.is_done else 1


def _log(action: Action) -> None:
    """One JSON line on stderr."""
    logs.configure("info", pool="", pod="")
    logging.getLogger("jobtide.operate").info("%s: %s", action.verb, _jobs(action.changed), extra=action.to_json())


def _write_preview(shown: Preview, *, as_json: bool) -> None:
    if as_json:
        write_json(shown.to_json())
        return
    write(f"{shown.verb} would concern {_number(shown)}")
    if shown.examples:
        write_jobs(shown.examples)


def _number(shown: Preview) -> str:
    if shown.is_at_least and not shown.number:
        return "none of the newest jobs, and perhaps older ones"
    many = _jobs(shown.number)
    return f"{many} or more" if shown.is_at_least else many


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


def _user() -> str:
    with suppress(OSError, KeyError):  # a container's user may have no name
        return getpass.getuser()
    return "unknown"


def _pause(text: str) -> float:
    with suppress(ValueError):
        seconds = float(text)
        if math.isfinite(seconds) and 0 <= seconds <= _MOST_PAUSE_SECONDS:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r}: expected 0 to {_MOST_PAUSE_SECONDS:g} seconds")
