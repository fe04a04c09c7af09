"""`jobtide dev` as a real process, in a folder of its own with an application, on PostgreSQL 18.

folder    a working directory with acme/jobs.py, whose handlers wait for files that a test makes
dev       dev("acme.jobs:tide", "--no-reload") -> the process on the test's database, ended for you with all its workers
enqueue   enqueue("echo", 3, payload={...}) -> ids of new jobs, by plain INSERT
statuses  statuses() -> {"completed": 3}
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from psycopg.types.json import Jsonb

from dev.postgres.server import Server
from jobtide.schema import apply

APPLICATION = '''
"""Handlers that say when they begin, and end when the test lets them."""
import time
from pathlib import Path

from jobtide import Tide

tide = Tide()
CODE = "old"


@tide.job("echo")
def echo(payload):
    return {"code": CODE}


@tide.job("hold")
def hold(payload):
    Path(payload["file"] + ".begun").touch()
    while not Path(payload["file"]).exists():
        time.sleep(0.01)
    return {"code": CODE}


@tide.job("wrong", max_attempts=1)
def wrong(payload):
    raise ValueError("no such film")
'''

# Quick to let workers go; the numbers of workers are those of the law.
POOL = """
apiVersion: jobtide.dev/v1alpha1
kind: JobWorkerPool
metadata: {name: quick}
spec:
  types: [echo, hold, wrong]
  concurrency: 1
  scaleDown: {stabilizationSeconds: 1}
  template: {spec: {containers: [{name: worker, image: "acme/jobs:1"}]}}
"""


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """What a pool does on the database is tested on all versions elsewhere."""
    with Server(version=18) as running:
        import psycopg

        with psycopg.connect(running.dsn, autocommit=True) as conn:
            conn.execute("CREATE DATABASE jobtide_template TEMPLATE template0")
        apply(running.url("jobtide_template"), roles=True)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme/jobs.py").write_text(APPLICATION)
    (tmp_path / "pools.yaml").write_text(POOL)
    return tmp_path


@dataclass
class Dev:
    """The process; its output is a file."""

    popen: subprocess.Popen[bytes]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> str:
        return self.log.read_text()

    def says(self, text: str) -> bool:
        return text in self.output

    @property
    def workers(self) -> set[int]:
        """Process ids of the workers that run, by their parent; without their second processes."""
        with suppress(psutil.NoSuchProcess):
            return {
                child.pid
                for child in psutil.Process(self.popen.pid).children()
                if "worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE
            }
        return set()

    @property
    def url(self) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+", self.output)
        assert found is not None, self.output
        return found[0]

    def send(self, number: int) -> None:
        self.popen.send_signal(number)

    def end(self, number: int = signal.SIGINT, seconds: float = 30) -> int:
        self.send(number)
        return self.popen.wait(seconds)


@pytest.fixture
def dev(database: str, folder: Path) -> Iterator[Callable[..., Dev]]:
    started: list[Dev] = []

    def start(*arguments: str, url: str | None = database, **environment: str) -> Dev:
        log = folder / f"dev-{len(started)}.log"
        own = ["--database-url", url] if url else []
        port = [] if "--port" in arguments else ["--port", "0"]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")} | environment
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", "jobtide", "dev", *arguments, *own, *port],
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(Dev(popen, log))
        return started[-1]

    yield start
    for one in started:
        if one.popen.poll() is None:
            one.popen.kill()  # its guard ends the workers
            one.popen.wait(60)


@pytest.fixture
def enqueue(connect, tenant) -> Callable[..., list[Any]]:
    connection = connect()
    ours = tenant("ours")

    def insert(type_: str, count: int = 1, payload: Any = None) -> list[Any]:
        statement = "INSERT INTO job_queue (tenant_id, type, payload) VALUES (%s, %s, %s) RETURNING id"
        return [connection.execute(statement, [ours, type_, Jsonb(payload or {})]).fetchone()[0] for _ in range(count)]

    return insert


@pytest.fixture
def statuses(connect) -> Callable[[], dict[str, int]]:
    connection = connect()
    return lambda: dict(connection.execute("SELECT status::text, count(*) FROM job_queue GROUP BY 1").fetchall())


@pytest.fixture
def rows(connect) -> Callable[[], list[dict[str, Any]]]:
    connection = connect()

    def read() -> list[dict[str, Any]]:
        cursor = connection.execute("SELECT id, status::text, attempts, result FROM job_queue ORDER BY created_at")
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    return read


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(textwrap.dedent(text.replace(before, after)))
