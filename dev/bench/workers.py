"""Queues as their users run them: whole processes with a handler that does nothing, timed by their rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, LiteralString

import psycopg

from dev.bench.table import Table
from dev.machine.errors import DevError
from dev.machine.shell import run
from dev.machine.wait import wait_until

_APP = """
from jobtide import Tide
tide = Tide()
@tide.job("bench")
def noop(payload): ...
"""


@dataclass(frozen=True, slots=True)
class Jobtide:
    """`jobtide worker` with everything on: fence, lease, fairness, metrics, logs at info."""

    table: Table
    concurrency: int
    prefetch: int
    jobs: int
    tenants: int = 20

    is_busy: ClassVar[LiteralString] = "SELECT EXISTS (SELECT FROM job_queue WHERE status IN ('pending', 'processing'))"
    ends: ClassVar[LiteralString] = "SELECT completed_at AS at FROM job_queue WHERE status = 'completed'"

    @property
    def url(self) -> str:
        return self.table.url

    def fill(self) -> None:
        self.table.refill("bench", self.jobs, self.table.tenants(self.tenants))

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "jobtide", "worker", "bench_app:tide"]

    def environment(self) -> Mapping[str, str]:
        return {
            "JOBTIDE_DATABASE_URL": self.url,
            "JOBTIDE_HTTP_PORT": "0",
            "JOBTIDE_CONCURRENCY": str(self.concurrency),
            "JOBTIDE_PREFETCH": str(self.prefetch),
        }

    @property
    def settings(self) -> str:
        return f"concurrency {self.concurrency}, prefetch {self.prefetch}, {self.tenants} tenants"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another queue, run by its script in dev/bench/peers."""

    python: Path
    script: str
    url: str
    jobs: int
    setting: int  # the argument of the script's `work`
    is_busy: LiteralString
    ends: LiteralString

    def fill(self) -> None:
        run([*self._base(), "enqueue", str(self.jobs)])

    def command(self) -> Sequence[str]:
        return [*self._base(), "work", str(self.setting)]

    def environment(self) -> Mapping[str, str]:
        return {}

    def _base(self) -> list[str]:
        return [str(self.python), str(Path(__file__).parent / "peers" / f"{self.script}.py"), self.url]


def jobs_per_second(contender: Jobtide | Peer, processes: int) -> float:
    """Fills, runs and stops. The rate is that of the middle 60 % of the ends: then all processes run at full speed."""
    contender.fill()
    with psycopg.connect(contender.url, autocommit=True) as watch, _running(contender, processes) as started:

        def finished() -> bool:
            if any(process.poll() is not None for process in started):
                raise DevError(f"{contender.command()} ended before it finished {contender.jobs} jobs")
            row = watch.execute(contender.is_busy).fetchone()
            return row is not None and not row[0]

        wait_until(f"the end of {contender.jobs} jobs of {contender.command()}", finished)
        middle = watch.execute(
            f"""SELECT extract(EPOCH FROM b - a)::float8 FROM (
                SELECT percentile_disc(0.2) WITHIN GROUP (ORDER BY at) AS a,
                       percentile_disc(0.8) WITHIN GROUP (ORDER BY at) AS b FROM ({contender.ends}) AS ends) AS marks"""
        ).fetchone()
    assert middle is not None
    return 0.6 * contender.jobs / float(middle[0])


@contextmanager
def _running(contender: Jobtide | Peer, processes: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench_app.py").write_text(textwrap.dedent(_APP))
        environment = {**os.environ, **contender.environment()}
        started = [
            subprocess.Popen(contender.command(), cwd=folder, env=environment, stderr=subprocess.DEVNULL)
            for _ in range(processes)
        ]
        try:
            yield started
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait(30)
