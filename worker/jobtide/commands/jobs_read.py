"""`jobtide jobs list|show|why`: finds and explains jobs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from jobtide.commands.enqueue import database_of, tenant_of
from jobtide.commands.table import aligned
from jobtide.database_errors import one_line
from jobtide.errors import JobtideError
from jobtide.operate.filters import FIELDS, STATUSES, JobFilter
from jobtide.operate.read import JobDetail, JobLine, Listing, list_jobs, show_job
from jobtide.operate.session import Connection, operator_connection
from jobtide.operate.why import PoolFacts, why
from jobtide.printable import printable, printable_json
from jobtide.schema.check import read_facts
from jobtide.schema.cli import add_url, one_line_errors

_MOST_LISTED = 1_000
_ERROR_CHARACTERS = 80
_LOGIN = "use a login in jobtide_operator (made by jobtide schema apply --roles)"
_HEAD = ("ID", "STATUS", "TYPE", "TENANT", "TRIES", "CREATED", "DUE", "ERROR")

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse gives it no public name


def add_parsers(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the three commands; each sets `run`, which takes the parsed arguments and returns the exit code."""
    parser = commands.add_parser(
        "list",
        help="list jobs, the newest first",
        description="Lists the newest jobs that match all given filters. It reads no more than an index allows: where "
        "that leaves older jobs out, it says from which time on it has looked.",
    )
    add_url(parser)
    add_filters(parser)
    parser.add_argument("--limit", type=_limit, default=50, metavar="N", help="so many jobs (default 50, at most 1000)")
    add_json(parser)
    parser.set_defaults(run=_list)
    parser = commands.add_parser("show", help="show one job: what it holds, its error, who holds it")
    _add_one(parser)
    parser.add_argument("--payload", action="store_true", help="the payload too")
    parser.set_defaults(run=_show)
    parser = commands.add_parser(
        "why",
        help="say why a job waits",
        description="Says what keeps a job from running, as far as the table knows. What only the cluster knows, such "
        "as a paused pool or pods that don't start, `kubectl jobtide why --job ID` adds.",
    )
    _add_one(parser)
    parser.set_defaults(run=_why)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Adds the filters, which `filter_of` reads."""
    for name, metavar, text in (
        ("type", "TYPE", "the job type, exactly"),
        ("tenant", "NAME", "tenants.name, or the tenant's UUID"),
        ("status", "STATUS", ", ".join(STATUSES)),
        ("error", "TEXT", "a part of the stored error, in any case of letters"),
        ("since", "TIME", "created then or later: 15m, 2h, 7d, or 2026-11-29T02:00Z"),
        ("until", "TIME", "created before that"),
        ("id", "UUID", "this one job"),
    ):
        parser.add_argument(f"--{name}", action=_Once, metavar=metavar, help=text)


class _Once(argparse.Action):
    """A filter has one value: of two, the last one alone would count, without a word."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"argument {option}: given twice: run the command once for each")
        setattr(namespace, self.dest, values)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds --json."""
    parser.add_argument("--json", action="store_true", help="as one JSON object, as the page gets it")


def filter_of(parsed: argparse.Namespace, connection: Connection) -> JobFilter:
    """The filter of the arguments; a tenant's name becomes its UUID. Raises JobtideError."""
    values = {name: getattr(parsed, name) or "" for name in FIELDS}
    if values["tenant"] and not _is_uuid(values["tenant"]):
        try:
            values["tenant"] = str(tenant_of(connection, values["tenant"], makes_unknown=False))
        except ValueError as wrong:
            raise JobtideError(f"--tenant: {wrong}") from None
    return JobFilter.of(values, datetime.now(UTC))


@contextmanager
def connected(parsed: argparse.Namespace) -> Iterator[Connection]:
    """A connection to the database of the arguments. Raises JobtideError, in one line."""
    url, _ = database_of(parsed)
    with one_line_errors(), operator_connection(url) as connection:
        try:
            yield connection
        except psycopg.errors.InsufficientPrivilege as error:
            raise JobtideError(f"{one_line(error)}: {_LOGIN}") from None


def refuse_if_hidden(connection: Connection) -> None:
    """For an answer without a job: raises JobtideError if row level security hides jobs from this role."""
    facts = read_facts(connection)
    table = facts["table"]
    if table is not None and table["rls_active"] and not table["can_see"]:
        raise JobtideError(f"row level security hides jobs from role {facts['role']}: {_LOGIN}")


def write(line: str) -> None:
    """One line, already printable, to stdout. Ends the command if its reader is gone, as in `| head`."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(f"{line}\n".encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is written at the exit
        sys.exit(1)


def write_json(value: Mapping[str, Any]) -> None:
    """One object in one line."""
    is_utf8 = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
    write(printable_json(json.dumps(value, ensure_ascii=not is_utf8)))


def write_jobs(jobs: tuple[JobLine, ...]) -> None:
    """A table; nothing of it can move the cursor."""
    for line in aligned([_HEAD, *map(_cells, jobs)], "<<<<><<<"):
        write(line)


def explain(parsed: argparse.Namespace, pools: Sequence[PoolFacts] | None) -> None:
    """Writes why the job of the arguments waits. `pools` None: nothing is known of the pools. Raises JobtideError."""
    with connected(parsed) as connection:
        found = why(connection, parsed.id, pools)
        if found is None:
            raise _no_such(connection, parsed.id)
    if parsed.json:
        write_json(found.to_json())
        return
    write(printable(f"{found.job.type}, tenant {found.job.tenant_id}, {found.job.status}"))
    for reason in found.reasons:
        write(printable(reason.text))


def _list(parsed: argparse.Namespace) -> int:
    with connected(parsed) as connection:
        listing = list_jobs(connection, filter_of(parsed, connection), limit=parsed.limit)
        if not listing.jobs:
            refuse_if_hidden(connection)
    if parsed.json:
        write_json(listing.to_json())
        return 0
    if listing.jobs:
        write_jobs(listing.jobs)
    else:
        write("no job matches")
    for hint in _hints(listing, parsed.limit):
        write(hint)
    return 0


def _hints(listing: Listing, limit: int) -> Iterator[str]:
    if listing.has_more:
        yield f"(the newest {limit}: for others, give --limit, or --until with a time of this list)"
    for cut in listing.cuts:
        yield (
            f"(only {cut.status} jobs created after {cut.back_to} were all looked at: for older ones, give --until "
            f"{cut.back_to}; --tenant finds those of that moment too)"
        )


def _cells(job: JobLine) -> tuple[str, ...]:
    error = ": ".join(text for text in (job.error_type, job.error_message) if text) or "-"
    if len(error) > _ERROR_CHARACTERS:
        error = error[:_ERROR_CHARACTERS] + " ..."
    due = _short(job.due_at) if job.status == "pending" else "-"
    return (
        job.id, job.status, job.type, job.tenant_id, str(job.attempts), _short(job.created_at), due, error,
    )  # fmt: skip


def _short(moment: str | None) -> str:
    return "-" if moment is None else moment.partition(".")[0]


def _show(parsed: argparse.Namespace) -> int:
    with connected(parsed) as connection:
        detail = show_job(connection, parsed.id, with_payload=parsed.payload)
        if detail is None:
            raise _no_such(connection, parsed.id)
    if parsed.json:
        write_json(detail.to_json())
        return 0
    for name, text in _shown(detail, with_payload=parsed.payload):
        write(f"{name:<10} {printable(text)}")
    return 0


def _shown(detail: JobDetail, *, with_payload: bool) -> Iterator[tuple[str, str]]:
    line = detail.line
    yield "id", line.id
    yield "status", line.status
    yield "type", line.type
    yield "tenant", line.tenant_id
    yield "attempts", str(line.attempts)
    yield "created", line.created_at or "-"
    if line.due_at is not None:
        yield "lease" if line.status == "processing" else "due", line.due_at
    if line.completed_at is not None:
        yield "ended", line.completed_at
    if line.worker_id is not None:
        yield "held by" if line.status == "processing" else "last held", line.worker_id
    if line.error_type or line.error_message:
        yield "error", ": ".join(text for text in (line.error_type, line.error_message) if text)
    yield "result", _content(detail.result, detail.result_bytes)
    yield "payload", _content(detail.payload, detail.payload_bytes) if with_payload else "(hidden: --payload shows it)"


def _content(text: str | None, size_bytes: int) -> str:
    if text is not None:
        return text
    return f"({size_bytes} bytes: too large to show)" if size_bytes else "-"


def _why(parsed: argparse.Namespace) -> int:
    explain(parsed, None)
    return 0


def _no_such(connection: Connection, id_: UUID) -> JobtideError:
    refuse_if_hidden(connection)
    return JobtideError(f"there is no job {id_}: it was deleted, or it is in another database")


def _add_one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=_uuid, metavar="ID", help="the job's UUID")
    add_url(parser)
    add_json(parser)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a UUID") from None


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_LISTED:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 to {_MOST_LISTED}")
    return int(text)
