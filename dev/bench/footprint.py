"""The cost of an idle worker: memory, and the time to load its code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dev.bench.figures import Figure, median_and_spread, seconds_of
from dev.bench.settle import until_settled
from dev.bench.table import Table


def measure(table: Table) -> list[Figure]:
    """Returns the time to import the worker, over psycopg's, and the memory of an idle worker in MB."""
    return [_import_ratio(), _idle_memory(table)]


def _import_ratio() -> Figure:
    """Python started with the worker imported, against Python started with psycopg alone."""
    ours: list[float] = []
    bare: list[float] = []
    for _ in until_settled(ours, bare):
        bare.append(seconds_of(lambda: _python("import psycopg")))
        ours.append(seconds_of(lambda: _python("import jobtide.commands.worker")))
    ratio, spread = median_and_spread([mine / theirs for mine, theirs in zip(ours, bare, strict=True)])
    median_ms = median_and_spread(ours)[0] * 1e3
    how = f"median {median_ms:.0f} ms"
    return Figure("worker import", ratio, "x psycopg's", 2.0, "lower", how, spread)


def _idle_memory(table: Table) -> Figure:
    with idle_worker(table.url) as process:
        status = Path(f"/proc/{process.pid}/status").read_text()
        kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return Figure(
        "worker resident memory, idle", kilobytes / 1024, "MB", 50, "lower",
        "VmRSS after empty polls, no pydantic",
    )  # fmt: skip


@contextmanager
def idle_worker(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with one handler and no job, after its first polls."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "acme.py").write_text(
            textwrap.dedent("""
            from jobtide import Tide
            tide = Tide()
            @tide.job("bench.idle")
            def idle(payload): ...
            """)
        )
        command = [sys.executable, "-m", "jobtide", "worker", "acme:tide"]
        environment = {**os.environ, "JOBTIDE_DATABASE_URL": url, "JOBTIDE_HTTP_PORT": "0"}
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(3)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)
