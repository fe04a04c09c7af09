from __future__ import annotations

import itertools
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from jobtide_controller.postgres.readings import Limits, Reader
from jobtide_controller.postgres.urls import DatabaseUrls
from tests.postgres.worker.conftest import HANDLERS

Insert = Callable[..., uuid.UUID]
NewReader = Callable[..., Reader]


@pytest.fixture
def urls(tmp_path: Path) -> DatabaseUrls:
    return DatabaseUrls(tmp_path / "databases")


@pytest.fixture
def configure(urls: DatabaseUrls) -> Callable[..., None]:
    """configure(url, name="main"): what mounting the Secret does."""

    def write(url: str, name: str = "main") -> None:
        folder = urls.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "url").write_text(url + "\n")

    return write


@pytest.fixture
def mount(urls: DatabaseUrls) -> Callable[..., str]:
    """mount(url, name="main") -> name: as the kubelet does it, by swapping the link that all files are behind."""
    versions = itertools.count(1)

    def swap(url: str, name: str = "main") -> str:
        folder = urls.folder / name
        version = folder / f"..2026_11_24_{next(versions)}"
        version.mkdir(parents=True)
        (version / "url").write_text(url)
        (folder / "..data_tmp").symlink_to(version.name)
        (folder / "..data_tmp").rename(folder / "..data")
        if not (folder / "url").is_symlink():
            (folder / "url").symlink_to("..data/url")
        return name

    return swap


@pytest.fixture
def reading_from(urls: DatabaseUrls) -> Iterator[Callable[[str], Reader]]:
    """reading_from(name): a reader of the database of this name, with its URL mounted or not."""
    with ExitStack() as opened:

        def new(name: str) -> Reader:
            reader = Reader(name, urls, Limits())
            opened.callback(reader.session.close)
            return reader

        yield new


@pytest.fixture
def new_reader(urls: DatabaseUrls, configure: Callable[..., None]) -> Iterator[NewReader]:
    readers = []

    def new(url: str, **limits: Any) -> Reader:
        configure(url)
        readers.append(Reader("main", urls, Limits(**limits)))
        return readers[-1]

    yield new
    for reader in readers:
        reader.session.close()


@pytest.fixture
def reader(database: str, new_reader: NewReader) -> Reader:
    return new_reader(database)


@pytest.fixture
def app(connect: Callable[..., psycopg.Connection[Any]]) -> psycopg.Connection[Any]:
    """The application's connection."""
    return connect()


@pytest.fixture
def insert(app: psycopg.Connection[Any], tenant: Callable[..., uuid.UUID]) -> Insert:
    """insert("type", tenant_id=..., status=..., age_seconds=...): one row; its id."""
    usual = tenant("usual")

    def one(
        type_: str,
        *,
        tenant_id: uuid.UUID = usual,
        status: str = "pending",
        age_seconds: float = 0.0,
        retry_in_seconds: float | None = None,
        worker_id: str | None = None,
        attempts: int = 0,
        result: str = "{}",
    ) -> uuid.UUID:
        lease_seconds = 60.0 if status == "processing" else None
        row = app.execute(
            """
            INSERT INTO job_queue
                (type, tenant_id, status, created_at, next_retry_at, worker_id, attempts, payload, result)
            VALUES (%s, %s, %s::job_status, clock_timestamp() - %s * interval '1 second',
                clock_timestamp() + %s * interval '1 second', %s, %s, '{}', %s::jsonb)
            RETURNING id
            """,
            [type_, tenant_id, status, age_seconds, retry_in_seconds or lease_seconds, worker_id, attempts, result],
        ).fetchone()
        assert row is not None
        found: uuid.UUID = row[0]
        return found

    return one


@pytest.fixture
def worker_role(app: psycopg.Connection[Any]) -> str:
    """A role that only the worker under test logs in with."""
    name = f"worker_{uuid.uuid4().hex}"
    app.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE jobtide_worker").format(sql.Identifier(name)))
    return name


@pytest.fixture
def run_worker(database: str, worker_role: str, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """run_worker(**environment): a `jobtide worker` process, ended for you."""
    running: list[subprocess.Popen[bytes]] = []

    def start(**environment: str) -> None:
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")},
            "JOBTIDE_DATABASE_URL": database.replace("postgres@", f"{worker_role}@", 1),
            "JOBTIDE_HTTP_PORT": "0",
            "JOBTIDE_CONCURRENCY": "16",
            "JOBTIDE_POLL_SECONDS": "0.1",
            "JOBTIDE_LEASE_SECONDS": "9",  # after 3 s without a pulse the lease keeper would connect, too
            **environment,
        }
        with (tmp_path / "worker.log").open("wb") as log:
            command = [sys.executable, "-m", "jobtide", "worker", "jobs:tide"]
            running.append(subprocess.Popen(command, cwd=HANDLERS, env=variables, stderr=log))

    yield start
    for process in running:
        process.terminate()
        process.wait(60)
