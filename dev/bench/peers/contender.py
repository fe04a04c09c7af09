"""One queue of the comparison: how it is filled, run and stopped, and when its jobs start."""

from __future__ import annotations

import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

import psycopg

from dev.bench.peers.environments import ROOT
from dev.machine.errors import DevError
from dev.machine.shell import last_lines
from dev.machine.wait import wait_until

POLL_SECONDS = 0.02
STOP_WITHIN_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Contender:
    """A queue at its best documented settings.

    `environment` makes what it needs and returns the command of its program, which takes a database's URL and then
    `fill N`, `work STARTS` or `produce`. Raises DevError if that can't be made.
    """

    name: str
    settings: str
    module: str
    environment: Callable[[str], Sequence[str]]
    jobs: int  # of one run with one process: a second or more
    is_busy: LiteralString  # may name %(jobs)s


@dataclass(slots=True)
class Runner:
    """A contender on its own database of one server."""

    contender: Contender
    url: str
    command: Sequence[str] = field(init=False)

    def prepare(self, jobs: int) -> None:
        self.command = self.contender.environment(self.contender.module)
        self.fill(jobs)

    def fill(self, jobs: int) -> None:
        result = subprocess.run(
            [*self.command, self.url, "fill", str(jobs)], check=False, cwd=ROOT, capture_output=True, text=True
        )
        if result.returncode != 0:
            raise DevError(f"{self.contender.name} can't be filled: {last_lines(result.stderr)}")

    def jobs_per_second(self, processes: int) -> float:
        """Fills, runs and stops. Returns the rate from the first fifth of the starts until no job is left open."""
        self.fill(self.contender.jobs)
        with ExitStack() as running:
            workers = [running.enter_context(self.worker()) for _ in range(processes)]
            with psycopg.connect(self.url, autocommit=True) as watch:
                wait_until(
                    f"the end of {self.contender.jobs} jobs of {self.contender.name}",
                    lambda: self._is_idle(watch, workers),
                    poll_seconds=POLL_SECONDS,
                )
            ended = time.time_ns() // 1_000
        return rate([start for worker in workers for start in worker.starts()], ended)

    def _is_idle(self, watch: psycopg.Connection, workers: Sequence[Worker]) -> bool:
        for worker in workers:
            worker.require_running()
        row = watch.execute(self.contender.is_busy, {"jobs": self.contender.jobs}).fetchone()
        return row is not None and not row[0]

    @contextmanager
    def worker(self) -> Iterator[Worker]:
        """A worker process; the file of its starts can be read until the next one is made."""
        with tempfile.TemporaryFile() as errors:
            starts = Path(tempfile.mkstemp(prefix="bench-starts-")[1])
            process = subprocess.Popen(
                [*self.command, self.url, "work", str(starts)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors
            )
            worker = Worker(self.contender.name, process, starts)
            try:
                yield worker
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(STOP_WITHIN_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                worker.read = starts.read_text().split()
                starts.unlink()

    @contextmanager
    def producer(self) -> Iterator[Producer]:
        process = subprocess.Popen(
            [*self.command, self.url, "produce"], cwd=ROOT, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield Producer(self.contender.name, process)
        finally:
            process.communicate()


@dataclass(slots=True)
class Worker:
    """A running worker. `read` has its starts when it has ended."""

    name: str
    process: subprocess.Popen[bytes]
    path: Path
    read: list[str] = field(default_factory=list)

    def require_running(self) -> None:
        if self.process.poll() is not None:
            raise DevError(
                f"a worker of {self.name} ended with exit code {self.process.returncode} before its jobs did"
            )

    def starts(self) -> list[int]:
        """The moments of the starts, in microseconds since 1970: all when it has ended, until then those written."""
        return [int(line) for line in self.read or self.path.read_text().split()]


@dataclass(slots=True)
class Producer:
    """A running producer of single jobs."""

    name: str
    process: subprocess.Popen[str]

    def add(self) -> int:
        """Adds one job; returns the moment before, in microseconds since 1970."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise DevError(f"the producer of {self.name} ended: exit code {self.process.wait()}")
        return int(answer)


def rate(starts: Sequence[int], ended: int) -> float:
    """Jobs a second from the first fifth of the starts, when all processes run, to the last end; in microseconds.

    The last end is what the database shows: a queue that ends its jobs in batches is not done when they have started.
    """
    first = len(starts) // 5
    return (len(starts) - first) * 1e6 / (ended - sorted(starts)[first])


def random_pause_seconds() -> float:
    """Between two jobs that idle workers get: long enough for all of them to be idle again."""
    return random.uniform(0.02, 0.18)


def database_url(connection: psycopg.Connection, url_of: Callable[[str], str], contender: Contender) -> str:
    """The URL of this contender's database, which is made if it is missing."""
    name = f"bench_{contender.module}"
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return url_of(name)
