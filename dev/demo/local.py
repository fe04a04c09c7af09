"""The demo's platform on this machine: `jobtide dev` as a user starts it, over an embedded PostgreSQL (`make demo`)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import psutil
import psycopg

from dev.demo.corpus import PACK, unpacked
from dev.demo.platform import Platform
from dev.machine.cache import cache_directory
from dev.machine.errors import DevError
from dev.machine.ports import free_port
from dev.machine.progress import step
from dev.machine.wait import wait_until
from dev.stage.pools import Snapshot, pool_of
from dev.stage.stage import EXAMPLE
from jobtide.commands.table import aligned
from jobtide.errors import JobtideError
from jobtide_controller.embedded.server import EmbeddedPostgres
from jobtide_controller.render import columns

_LINES_KEPT = 50
# When its input ends, also because this process was killed: the first signal drains, the second ends at once.
_GUARD = 'cat; kill -s TERM "$1" && sleep 1 && kill -s TERM "$1"'
_DRAIN_SECONDS = 90.0
_START_SECONDS = 60.0


@contextlib.contextmanager
def on_this_machine() -> Iterator[Platform]:
    """`jobtide dev` on the example, in a folder of its own that every run empties."""
    home = cache_directory() / "demo" / "embedded"
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home), contextlib.ExitStack() as opened:
        try:
            with step("Starting PostgreSQL", usual="1 s"):
                server = opened.enter_context(EmbeddedPostgres(home / "server" / "postgres", fresh=True))
        except JobtideError as error:
            raise DevError(str(error)) from error
        platform = LocalPlatform(server, home / "work")
        opened.callback(platform.close)
        yield platform


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DevError("another `make demo` runs on this machine: wait for its end, or stop it") from None
        yield


@dataclass(slots=True)
class LocalPlatform:
    """Workers are processes of `jobtide dev`, which this process starts."""

    server: EmbeddedPostgres
    directory: Path
    hint: str = "The same on Kubernetes, with the same workload and the same account: make demo-cluster"
    _port: int = field(default_factory=free_port)
    _process: subprocess.Popen[str] | None = None
    _printer: threading.Thread | None = None
    _guard: subprocess.Popen[bytes] | None = None
    _lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES_KEPT))

    @property
    def postgres(self) -> LocalPlatform:
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        return (urlsplit(self.server.url).password or "",)

    @contextlib.contextmanager
    def connect(self, database: str, *, within_seconds: float = 60.0) -> Iterator[psycopg.Connection[Any]]:
        """There is one database."""
        del database
        problems: list[Exception] = []

        def connected() -> psycopg.Connection[Any] | None:
            try:
                return psycopg.connect(self.server.url, autocommit=True, connect_timeout=5)
            except psycopg.OperationalError as error:
                problems.append(error)
                return None

        connection = wait_until(
            "a connection to the demo's PostgreSQL",
            connected,
            within_seconds=within_seconds,
            reason=lambda: str(problems[-1]),
        )
        with connection:
            yield connection

    def make_pools(self) -> None:
        """Starts `jobtide dev`, which applies the schema."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        for name in ("handlers.py", "pools.yaml"):
            shutil.copy(EXAMPLE / name, self.directory)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JOBTIDE_", "PG"))}
        with step("Starting jobtide dev", usual="2 s"):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jobtide", "dev", "handlers:tide", "-f", "pools.yaml", "--no-reload",
                 "--port", str(self._port)],
                cwd=self.directory,
                env={**kept, "JOBTIDE_DATABASE_URL": self.server.url},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # Ctrl-C is for this process, which then ends it in order
            )  # fmt: skip
            self._guard = subprocess.Popen(
                ["sh", "-c", _GUARD, "guard", str(self._process.pid)], stdin=subprocess.PIPE, start_new_session=True
            )
            assert self._process.stdout is not None
            self._printer = threading.Thread(target=self._pass_on, args=(self._process.stdout,), daemon=True)
            self._printer.start()
            wait_until("the pools of jobtide dev", self._are_ready, within_seconds=_START_SECONDS, reason=self.state)

    def corpus(self) -> dict[str, bytes]:
        """The workers run on the Python of this process."""
        packed = subprocess.run([sys.executable, "-c", PACK], stdout=subprocess.PIPE, check=True).stdout
        return unpacked(packed)

    def look(self) -> Snapshot:
        items = self._items()
        return Snapshot(
            tuple(pool_of(item, item["status"].get("replicas", 0)) for item in items),
            workers=len(self._workers()),
            ready=sum(item["status"].get("readyReplicas", 0) for item in items),
        )

    def shown(self) -> str:
        rows = [columns.cells(item, time.time()) for item in self._items()]
        return "\n".join(aligned([columns.head(), *rows], "<" * len(columns.head()))) + "\n"

    def state(self) -> str:
        return "\n".join(self._lines)

    def kill_postgres(self, down_seconds: int) -> None:
        self.server.stop("killed")
        threading.Timer(down_seconds, self.server.start).start()

    def close(self) -> None:
        """Drains the workers; ends what is left after that."""
        if self._process is None:
            return
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
        self._process.terminate()
        try:
            self._process.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._printer is not None:
            self._printer.join()

    def _pass_on(self, output: IO[str]) -> None:
        """Prints what `jobtide dev` prints."""
        with output:
            for line in output:
                self._lines.append(line.rstrip("\n"))
                print(line, end="", flush=True)

    def _are_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise DevError(f"jobtide dev ended with code {self._process.returncode}:\n{self.state()}")
        try:
            return all(
                any(one["type"] == "Ready" and one["status"] == "True" for one in item["status"].get("conditions", ()))
                for item in self._items()
            )
        except OSError:
            return False

    def _items(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/pools", timeout=10) as answer:
            items: list[dict[str, Any]] = json.load(answer)["items"]
        return items

    def _workers(self) -> list[int]:
        """Its children that are workers, whatever it says itself."""
        assert self._process is not None
        found = []
        for child in psutil.Process(self._process.pid).children():
            with contextlib.suppress(psutil.Error):
                if "worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child.pid)
        return found
