"""`jobtide schema apply|print|check`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from jobtide.database_errors import checked_url, connect, one_line, url_of_file
from jobtide.errors import JobtideError, SettingsError
from jobtide.printable import printable_lines
from jobtide.schema.apply import SchemaError, apply
from jobtide.schema.check import limits_problems, read_facts
from jobtide.schema.problems import Problem, use_problems, wake_note, wall_problems
from jobtide.schema.script import DEFAULT_LOCK_TIMEOUT_SECONDS, LIMITS_VIEW_EXAMPLE, script, statement

Trial = Callable[[str], tuple[Problem, ...]]
"""Tries claims and ends on the table that a URL leads to (jobtide.queue.trial)."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], try_out: Trial) -> None:
    """Adds `schema`; each command sets `run`, which takes the parsed arguments and returns the exit code."""
    schema = subparsers.add_parser("schema", help="create, show or check the table job_queue")
    commands = schema.add_subparsers(dest="schema_command", required=True, metavar="COMMAND")
    _add_apply(commands)
    _add_print(commands)
    _add_check(commands, try_out)


def _add_apply(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "apply",
        help="create what is missing; an existing table is checked, and gets missing indexes and a trigger only",
    )
    add_url(parser)
    _add_roles(parser)
    parser.add_argument(
        "--tenant-walls",
        action="store_true",
        help="on an existing table too, let users of tenants write only the tenant, type, payload and due time of "
        "waiting jobs; a new table has this",
    )
    _add_without_wake(parser)
    parser.add_argument(
        "--lock-timeout-seconds",
        type=float,
        default=DEFAULT_LOCK_TIMEOUT_SECONDS,
        help="give up, with nothing changed, if a lock takes longer (default %(default)g)",
    )
    parser.set_defaults(run=_apply)


def _add_print(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("print", help="show the SQL of apply, for review and psql -f")
    _add_roles(parser)
    parser.add_argument("--tenant-walls", action="store_true", help="as for apply")
    _add_without_wake(parser)
    parser.add_argument(
        "--in-transaction",
        action="store_true",
        help="for migration tools that wrap a file in a transaction: no CONCURRENTLY, no BEGIN",
    )
    parser.add_argument(
        "--limits-view",
        action="store_true",
        help="print only an example of the view job_tenant_limits, which takes limits of tenants from your own data",
    )
    parser.set_defaults(run=_print)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser], try_out: Trial) -> None:
    parser = commands.add_parser("check", help="list the problems that keep a role from working on the table")
    add_url(parser)
    parser.add_argument("--part", choices=("worker", "controller"), default="worker", help="who the role is for")
    parser.add_argument(
        "--catalogs-only",
        action="store_true",
        help="do not try a job's way through the table, in a transaction that is rolled back",
    )
    parser.set_defaults(run=_check, try_out=try_out)


def add_url(parser: argparse.ArgumentParser) -> None:
    """Adds --database-url, which url_of reads."""
    parser.add_argument(
        "--database-url",
        metavar="URL",
        help="default: JOBTIDE_DATABASE_URL, or the file that JOBTIDE_DATABASE_URL_FILE names",
    )


def _add_roles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--roles", action="store_true", help="also the roles jobtide_worker, jobtide_controller and jobtide_operator"
    )


def _add_without_wake(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--without-wake",
        action="store_true",
        help="do not add the trigger by which an INSERT wakes idle workers; they find jobs by polling",
    )


def _apply(parsed: argparse.Namespace) -> int:
    with one_line_errors():
        applied = apply(
            url_of(parsed),
            roles=parsed.roles,
            tenant_walls=parsed.tenant_walls,
            wake=not parsed.without_wake,
            lock_timeout_seconds=parsed.lock_timeout_seconds,
            report=_write,
        )
    for line in applied.done or ("nothing to do: job_queue is complete",):
        _write(line)
    for problem in applied.warnings:
        _write(f"warning: {problem.message}")
    return 0


def _print(parsed: argparse.Namespace) -> int:
    if parsed.limits_view:
        sys.stdout.write(statement(LIMITS_VIEW_EXAMPLE))
        return 0
    sql = script(
        roles=parsed.roles,
        in_transaction=parsed.in_transaction,
        tenant_walls=parsed.tenant_walls,
        wake=not parsed.without_wake,
    )
    sys.stdout.write(f"{sql}\n")
    return 0


def _check(parsed: argparse.Namespace) -> int:
    with one_line_errors(), connect(url_of(parsed), autocommit=True, prepare_threshold=None) as conn:
        facts = read_facts(conn)
        limits = tuple(limits_problems(conn, parsed.part)) if facts["table"] is not None else ()
    problems = (*use_problems(facts, parsed.part), *wall_problems(facts), *limits)
    if parsed.part == "worker" and not parsed.catalogs_only and not any(problem.fatal for problem in problems):
        with one_line_errors():
            problems += parsed.try_out(url_of(parsed))
    for problem in problems:
        _write(f"{'error' if problem.fatal else 'warning'}: {problem.kind}: {problem.message}")
    if (note := wake_note(facts)) is not None:
        _write(f"note: {note}")
    if not problems:
        _write("ok")
    return 1 if any(problem.fatal for problem in problems) else 0


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Raises JobtideError, in one line and without credentials."""
    try:
        yield
    except psycopg.ProgrammingError as error:
        raise SchemaError(f"the server refused: {one_line(error)}") from error
    except (psycopg.Error, OSError) as error:
        raise JobtideError(f"can't work with the database: {one_line(error)}") from error


def url_of(parsed: argparse.Namespace) -> str:
    """The URL of --database-url or the environment. Raises SettingsError."""
    if parsed.database_url:
        return checked_url(parsed.database_url, "--database-url")
    file = os.environ.get("JOBTIDE_DATABASE_URL_FILE")
    if file:
        try:
            return url_of_file(Path(file), f"JOBTIDE_DATABASE_URL_FILE={file}")
        except OSError as error:
            raise SettingsError(f"JOBTIDE_DATABASE_URL_FILE={file} can't be read: {error.strerror}") from error
    url = os.environ.get("JOBTIDE_DATABASE_URL")
    if not url:
        raise SettingsError(
            "no database: pass --database-url or set JOBTIDE_DATABASE_URL=postgresql://user:password@host:port/database"
        )
    return checked_url(url, "JOBTIDE_DATABASE_URL")


def _write(line: str) -> None:
    sys.stdout.write(f"{printable_lines(line)}\n")
    sys.stdout.flush()
