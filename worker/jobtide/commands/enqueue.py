"""`jobtide enqueue TYPE [JSON] --tenant NAME`: adds jobs from a shell."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from jobtide.commands.dev_folder import url_file
from jobtide.database_errors import connect, one_line, url_of_file
from jobtide.errors import JobtideError, SettingsError, seconds_of
from jobtide.job import Json
from jobtide.payload import json_text
from jobtide.producer.enqueue import NewJob, enqueue_many
from jobtide.schema.cli import add_url, one_line_errors, url_of
from jobtide.sql import load

MOST_JOBS = 100_000  # of one command, which is one transaction
_SHOWN_IDS = 10
_BATCH_JOBS = 500
_BATCH_BYTES = 8_000_000
_SQL = "jobtide.sql.tenants"

Connection = psycopg.Connection[Any]


class EnqueueError(JobtideError):
    """Nothing was enqueued; the message says why."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `enqueue`, which sets `run`: takes the parsed arguments and returns the exit code."""
    parser = subparsers.add_parser(
        "enqueue",
        help="add jobs from a shell",
        description="Adds jobs in one transaction, and prints their ids. Without a URL it uses the database of the "
        "`jobtide dev` that runs in this folder; there, an unknown name of a tenant makes the tenant.",
    )
    parser.add_argument("type", metavar="TYPE", help="the job type, exactly as the handler has it")
    parser.add_argument("payload", nargs="?", default="{}", metavar="JSON", help="default {}; - reads standard input")
    parser.add_argument("--tenant", required=True, metavar="NAME", help="tenants.name, or the tenant's UUID")
    parser.add_argument("--count", type=_count, default=1, metavar="N", help="so many equal jobs (default 1)")
    parser.add_argument("--after", type=_seconds, metavar="SECONDS", help="not before so many seconds from now")
    parser.add_argument("--key", help="add nothing while a job of this tenant and type with this key waits or runs")
    add_url(parser)
    parser.set_defaults(run=_enqueue)


def _enqueue(parsed: argparse.Namespace) -> int:
    if parsed.key is not None and parsed.count > 1:
        raise EnqueueError(f"--key {parsed.key} and --count {parsed.count}: there is one job for a key; give one")
    payload = _payload(parsed.payload)
    url, is_dev = database_of(parsed)
    with _sentences(is_dev=is_dev), connect(url, prepare_threshold=None) as connection:  # one transaction
        tenant = tenant_of(connection, parsed.tenant, makes_unknown=is_dev)
        ids = list(_insert(connection, parsed, payload, tenant))
    _report(ids, parsed)
    return 0


def _payload(text: str) -> Json:
    """Raises EnqueueError unless it is JSON that can be stored."""
    try:
        given = sys.stdin.buffer.read().decode() if text == "-" else text
        value: Json = json.loads(given)
        json_text(value, "it")
    except (ValueError, RecursionError) as wrong:
        source = "standard input" if text == "-" else f"the payload {_short(text)}"
        raise EnqueueError(f"{source} can't be stored as JSON: {wrong}") from None
    return value


def database_of(parsed: argparse.Namespace) -> tuple[str, bool]:
    """The URL, and whether it is that of the `jobtide dev` of this folder. Raises SettingsError."""
    file = url_file(Path.cwd())
    given = parsed.database_url or any(map(os.environ.get, ("JOBTIDE_DATABASE_URL", "JOBTIDE_DATABASE_URL_FILE")))
    if given:
        return url_of(parsed), False
    try:
        return url_of_file(file, str(file)), True
    except FileNotFoundError:
        raise SettingsError(
            "no database: start `jobtide dev` in this folder, pass --database-url, or set "
            "JOBTIDE_DATABASE_URL=postgresql://user:password@host:port/database"
        ) from None
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}") from None


@contextmanager
def _sentences(*, is_dev: bool) -> Iterator[None]:
    """Raises JobtideError, in one line."""
    with one_line_errors():
        try:
            yield
        except ValueError as wrong:
            raise EnqueueError(str(wrong)) from None
        except psycopg.errors.ForeignKeyViolation:
            raise EnqueueError("no tenant has this UUID: see the table tenants, or give --tenant its name") from None
        except psycopg.errors.UndefinedTable as error:
            raise EnqueueError(f"{one_line(error)}: create the tables with `jobtide schema apply`") from None
        except psycopg.OperationalError as error:
            if not is_dev or error.sqlstate is not None:
                raise
            why = "" if "refused" in str(error) else f" ({one_line(error)})"
            raise EnqueueError(f"`jobtide dev` does not run in this folder: start it first{why}") from None


def tenant_of(connection: Connection, text: str, *, makes_unknown: bool) -> UUID:
    """The tenant with this UUID or name; `makes_unknown` adds one with an unknown name. Raises EnqueueError."""
    try:
        return UUID(text)
    except ValueError:
        name = text
    if not name.strip():
        raise EnqueueError("--tenant is empty: give the name or the UUID of a tenant")
    json_text(name, "the name of the tenant")
    try:
        if makes_unknown:
            connection.execute(load(_SQL, "lock"), {"name": name})
        found = [id_ for (id_,) in connection.execute(load(_SQL, "named"), {"name": name})]
    except (psycopg.errors.UndefinedColumn, psycopg.errors.InsufficientPrivilege) as error:
        raise EnqueueError(f"tenants can't be found by name: {one_line(error)}; give --tenant UUID") from None
    if len(found) > 1:
        raise EnqueueError(
            f"{len(found)} or more tenants are named {_short(name)}: give --tenant UUID, as in --tenant {found[0]}"
        )
    if not found and makes_unknown:
        found = [id_ for (id_,) in connection.execute(load(_SQL, "add"), {"name": name})]
    if not found:
        raise EnqueueError(f"no tenant is named {_short(name)}{_similar(connection, name)}; or give --tenant UUID")
    id_: UUID = found[0]
    return id_


def _similar(connection: Connection, name: str) -> str:
    """The names that the user may have meant, for the message."""
    names = [known for (known,) in connection.execute(load(_SQL, "names"))]
    close = difflib.get_close_matches(name.lower(), {known.lower() for known in names}, cutoff=0.5)
    shown = [known for known in names if known.lower() in close][:3]
    return f": there is {', '.join(map(_short, shown))}" if shown else ""


def _insert(connection: Connection, parsed: argparse.Namespace, payload: Json, tenant: UUID) -> Iterator[UUID | None]:
    job = NewJob(type=parsed.type, payload=payload, tenant_id=tenant, after=parsed.after, unique=parsed.key)
    # All jobs of a statement are in memory, as text.
    batch = max(1, min(_BATCH_JOBS, _BATCH_BYTES // len(json_text(payload, "the payload"))))
    for start in range(0, parsed.count, batch):
        yield from enqueue_many(connection, [job] * min(batch, parsed.count - start))


def _report(ids: list[UUID | None], parsed: argparse.Namespace) -> None:
    if ids == [None]:
        lines = [f"not added: a job of this tenant and type with the key {_short(parsed.key)} waits or runs"]
    elif len(ids) <= _SHOWN_IDS:
        lines = [str(id_) for id_ in ids]
    else:
        lines = [f"added {len(ids)} jobs of type {parsed.type}"]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _short(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")  # noqa: PLR2004


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MOST_JOBS):  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{_short(text)}: expected a whole number from 1 to {MOST_JOBS}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        return seconds_of(float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{_short(text)}: expected seconds, from 0 to ten years") from None
