"""`jobtide dev MODULE:ATTRIBUTE`: the application's workers on this machine, scaled by their backlog."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psycopg

from jobtide.database_errors import checked_url, one_line
from jobtide.errors import JobtideError, SettingsError
from jobtide.schema import apply
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.embedded import app, console, demo, pools
from jobtide_controller.embedded.demo.producer import Producer
from jobtide_controller.embedded.folder import Folder
from jobtide_controller.embedded.screen import Screen

DATABASE_ENV = "JOBTIDE_DATABASE_URL"
MOST_PORT = 65_535


def main(arguments: Sequence[str]) -> int:
    """Runs until Ctrl-C; returns the exit code. Raises JobtideError."""
    parsed = _parser().parse_args(arguments)
    if parsed.demo:
        _refuse_beside_demo(parsed)
    target = demo.APP if parsed.demo else parsed.app or os.environ.get("JOBTIDE_APP")
    if not target:
        raise SettingsError(
            "no application: give module:attribute, as in `jobtide dev acme.jobs:tide`, or try `jobtide dev --demo`"
        )
    file = demo.POOLS if parsed.demo else parsed.file
    given = pools.of_file(file) if file else []
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        return _run(target, given, parsed)
    except KeyboardInterrupt:  # before the workers' loop handles it, or after
        return app.STOPPED_CODE


def _run(target: str, given: list[JobWorkerPool], parsed: argparse.Namespace) -> int:
    screen = Screen(tuple, sys.stdout)
    console.configure("INFO", screen.write)
    directory = Path.cwd()
    with Folder(directory) as folder, _database(parsed, folder) as url:
        _apply_schema(url)
        options = app.Options(
            target,
            tuple(given),
            url,
            directory,
            os.environ,
            owner=folder.owner,
            reload=parsed.reload,
            port=parsed.port,
            page_port=parsed.page_port,
            screen=screen,
        )
        with Producer(url, console.say) if parsed.demo else nullcontext():
            return asyncio.run(app.run(options))


def _refuse_beside_demo(parsed: argparse.Namespace) -> None:
    """It adds tenants and jobs, so it never runs on a database that it did not make."""
    given = {
        parsed.app: parsed.app,
        "-f": parsed.file,
        "--database-url": parsed.database_url,
        DATABASE_ENV: os.environ.get(DATABASE_ENV),
    }
    beside = [name for name, value in given.items() if value]
    if beside:
        raise SettingsError(f"--demo brings its own application, pools and database: leave out {', '.join(beside)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jobtide dev",
        description="Runs workers of the application as processes of this machine, as many as its jobs need: the "
        "controller's own decisions, without Kubernetes. For developing, for tests, for one machine.",
    )
    parser.add_argument("app", nargs="?", metavar="MODULE:ATTRIBUTE", help="a jobtide.Tide; default: JOBTIDE_APP")
    parser.add_argument(
        "-f", dest="file", type=Path, metavar="FILE", help="YAML with JobWorkerPools; default: one pool of all types"
    )
    parser.add_argument("--demo", action="store_true", help="bring an application, pools, tenants and jobs")
    parser.add_argument(
        "--database-url", metavar="URL", help=f"default: {DATABASE_ENV}, or a PostgreSQL of its own in .jobtide"
    )
    parser.add_argument("--fresh", action="store_true", help="empty the database in .jobtide first")
    parser.add_argument(
        "--no-reload", dest="reload", action="store_false", help="keep the workers when the application's files change"
    )
    parser.add_argument("--port", type=_port, default=8080, help="port of /metrics; 0: any free one (default 8080)")
    parser.add_argument(
        "--page-port",
        type=_port,
        help="port of the page; 0: any free one (default: the one after --port, if it is free)",
    )
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST_PORT)) and int(text) <= MOST_PORT):
        raise argparse.ArgumentTypeError(f"{text[:60]!r}: expected a whole number from 0 to {MOST_PORT}")
    return int(text)


@contextmanager
def _database(parsed: argparse.Namespace, folder: Folder) -> Iterator[str]:
    """The URL of the given database, or of an embedded server that runs as long."""
    source = "--database-url" if parsed.database_url else DATABASE_ENV
    url = parsed.database_url or os.environ.get(DATABASE_ENV)
    if not url:
        from jobtide_controller.embedded.server import EmbeddedPostgres

        with EmbeddedPostgres(folder.postgres, fresh=parsed.fresh) as server:
            yield server.url
        return
    if parsed.fresh:
        raise SettingsError(f"--fresh empties the database in .jobtide, and {source} names another: leave one out")
    yield checked_url(url, source)


def _apply_schema(url: str) -> None:
    try:
        applied = apply(url)
    except (psycopg.Error, OSError) as error:
        raise JobtideError(f"can't work with the database: {one_line(error)}") from None
    for line in applied.done:
        console.say(line)
    for problem in applied.warnings:
        console.say(f"warning: {problem.message}")
