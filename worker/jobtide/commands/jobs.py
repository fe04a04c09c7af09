"""`jobtide jobs`: its commands; and `requeue-foreign`, for jobs that another consumer left in processing."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from psycopg.rows import dict_row

from jobtide.commands import jobs_change, jobs_read
from jobtide.commands.table import aligned
from jobtide.database_errors import connect
from jobtide.schema.cli import add_url, one_line_errors, url_of
from jobtide.sql import load

Connection = psycopg.Connection[dict[str, Any]]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_MOST_SECONDS = 10 * 365 * 86_400.0
_LINES = 50


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `jobs`; each of its commands sets `run`, which takes the parsed arguments and returns the exit code."""
    jobs = subparsers.add_parser("jobs", help="find, explain, retry, cancel or delete jobs")
    commands = jobs.add_subparsers(dest="jobs_command", required=True, metavar="COMMAND")
    jobs_read.add_parsers(commands)
    jobs_change.add_parsers(commands)
    parser = commands.add_parser(
        "requeue-foreign",
        help="requeue jobs that another consumer left in processing",
        description="Requeues jobs in processing that are not claims of Jobtide. The table does not say when another "
        "consumer claimed a job, so stop it first, or choose a time that none of its jobs takes: a job that it still "
        "runs would run twice. The result and the attempts of a job stay as they are.",
    )
    add_url(parser)
    parser.add_argument(
        "--older-than",
        type=_seconds,
        required=True,
        metavar="TIME",
        help="only jobs created, and due, longer ago than this: 90s, 15m, 2h or 1d",
    )
    parser.add_argument(
        "--worker-id", action="append", metavar="TEXT", help="only of this consumer (worker_id); may be repeated"
    )
    parser.add_argument("--type", action="append", metavar="TYPE", help="only jobs of this type; may be repeated")
    parser.add_argument(
        "--reset-attempts", action="store_true", help="set attempts to 0: attempts of all consumers count together"
    )
    parser.add_argument("--batch", type=_batch, default=500, metavar="N", help="jobs in a transaction (default 500)")
    parser.add_argument("--dry-run", action="store_true", help="only list them, by consumer and type")
    parser.set_defaults(run=_requeue_foreign)


def _requeue_foreign(parsed: argparse.Namespace) -> int:
    which = {"older_than_seconds": parsed.older_than, "worker_ids": parsed.worker_id, "types": parsed.type}
    how = {"resets_attempts": parsed.reset_attempts, "at_most": parsed.batch}
    with (
        one_line_errors(),
        connect(url_of(parsed), autocommit=True, prepare_threshold=None, row_factory=dict_row) as connection,
    ):
        if parsed.dry_run:
            _list(connection, which, sys.stdout.write)
        elif not sum(_batches(connection, which | how, sys.stdout.write)):
            sys.stdout.write("nothing to requeue\n")
    return 0


def _batches(connection: Connection, parameters: dict[str, Any], write: Callable[[str], object]) -> Iterator[int]:
    """Returns the number of jobs of each transaction. Each is committed before the next begins."""
    requeued, found = 0, parameters["at_most"]
    while found == parameters["at_most"]:
        found = len(connection.execute(load("jobtide.sql", "requeue_foreign"), parameters).fetchall())
        requeued += found
        if found:
            write(f"requeued {requeued} jobs\n")
        yield found


def _list(connection: Connection, which: dict[str, Any], write: Callable[[str], object]) -> None:
    rows = connection.execute(load("jobtide.sql", "foreign_claims"), {**which, "at_most": _LINES}).fetchall()
    if not rows:
        write("nothing to requeue\n")
        return
    head = ("JOBS", "OLDEST", "ATTEMPTS", "TYPE", "WORKER_ID")
    lines = [(str(row["jobs"]), _age(row["oldest_seconds"]), str(row["most_attempts"]), row["type"],
              "-" if row["worker_id"] is None else row["worker_id"]) for row in rows]  # fmt: skip
    for line in aligned([head, *lines], ">>><<"):
        write(line + "\n")
    if len(rows) == _LINES:
        write(f"(the first {_LINES} groups)\n")


def _age(seconds: float | None) -> str:
    """1.5 hours: 90m."""
    if seconds is None:
        return "-"
    unit = next((unit for unit in "dhm" if seconds >= 2 * _UNITS[unit]), "s")
    return f"{seconds / _UNITS[unit]:.0f}{unit}"


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else -1.0
    if not 0 <= seconds <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number with s, m, h or d, as in 15m")
    return seconds


def _batch(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100_000:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 to 100000")
    return int(text)
