"""A PostgreSQL of `jobtide dev`'s own: its data stay in the folder `.jobtide` from run to run.

    with EmbeddedPostgres(Path(".jobtide/postgres")) as server:
        psycopg.connect(server.url)

It listens on a port of loopback and asks for a password that only the folder's owner can read.
"""

from __future__ import annotations

import contextlib
import logging
import random
import secrets
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

import psutil
import psycopg

from jobtide.database_errors import connect, one_line
from jobtide.errors import JobtideError
from jobtide_controller.embedded import programs
from jobtide_controller.embedded.data_folder import DataFolder, ServerUnusable

DATABASE = "jobtide"
USER = "jobtide"  # the superuser, and the only one
HOST = "127.0.0.1"
# Below the range of source ports of outgoing connections, so that a port is still free at the next start.
PORTS = range(20_000, 32_000)

NEEDED_BYTES = 150 << 20  # 40 MB of an empty database, its write-ahead log, and some jobs

# 13 MB when idle, and up to 32 MB of pages that were read.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "io_method": "sync",  # else three processes that read
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_min_messages": "warning",
}

_POLL_SECONDS = 0.01
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 30.0
_END_SECONDS = 10.0  # of processes that lost their server
_PORTS_TRIED = 5

StopMode = Literal["fast", "immediate", "killed"]
_MODES: tuple[StopMode, ...] = ("fast", "immediate", "killed")
_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)  # of the modes; each waits before the next is sent

_log = logging.getLogger("jobtide_controller")


class EmbeddedPostgres:
    """The server of one directory; its URL is in the file `database-url` beside the directory.

    `fresh` removes the data first. The caller sees to it that no other process uses the directory at the same time.
    Entering raises ProgramMissing or ServerUnusable, which are JobtideErrors.
    """

    url: str
    """Of the database `jobtide`, as its superuser. It stays the same from run to run unless the port is taken."""

    def __init__(self, directory: Path, *, fresh: bool = False) -> None:
        self._folder = DataFolder(directory, needed_bytes=NEEDED_BYTES)
        self._fresh = fresh
        self._process: subprocess.Popen[bytes] | None = None
        self._should_run = False
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._bin = programs.binaries()
        try:
            self._prepare()
            self.start()
        except BaseException:
            self.stop()
            raise
        threading.Thread(target=self._keep, name="jobtide-postgres", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended.set()
        self.stop()

    def start(self) -> None:
        """Starts the server, and waits until it has recovered and the database exists.

        From then on it is started again whenever it ends without `stop`.
        """
        with self._lock:
            self._start(keeps_port=False)
            self._create_database()
            self._should_run = True

    def _prepare(self) -> None:
        self._folder.refuse_foreign()
        if self._fresh:
            with self._folder.writing():
                self._end_leftovers()
            self._folder.remove_data()
        self.url = self._folder.prepare(self._bin, new_url=_url(secrets.token_hex(16), _free_port()))

    def _start(self, *, keeps_port: bool) -> None:
        self._end_leftovers()
        for tries_left in reversed(range(_PORTS_TRIED)):
            failure = self._start_on(self._port if keeps_port else self._chosen_port())
            if failure is None:
                break
            if keeps_port or not tries_left or "Address already in use" not in failure:
                raise self._folder.explained(failure)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stops the server if it runs, and waits. `immediate` and `killed` are crashes: the next start recovers."""
        with self._lock:
            self._should_run = False
            self._stop(mode)

    def _stop(self, mode: StopMode) -> None:
        child = self._process
        pid = child.pid if child is not None and child.poll() is None else self.pid
        if pid is not None:
            server = psutil.Process(pid)
            for number in _SIGNALS[_MODES.index(mode) :]:
                with contextlib.suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
                    server.send_signal(number)
                    server.wait(_STOP_SECONDS)
                    break
        if child is not None:  # none if an earlier run left the server
            child.wait()
            self._process = None

    @property
    def pid(self) -> int | None:
        """The process id of the running server. None if there is none, even if its id is another process's now."""
        try:
            pid = int((self._folder.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if _works_in(pid, self._folder.data) else None

    def _keep(self) -> None:
        """Nothing else starts a server whose first process was killed, as by the kernel when memory is short."""
        while not self._ended.wait(_LOOK_SECONDS):
            with self._lock:
                if not self._should_run or (self._process is not None and self._process.poll() is None):
                    continue
                if self._process is not None:
                    _log.warning("PostgreSQL has ended with code %s: it starts again", self._process.returncode)
                try:
                    self._start(keeps_port=True)  # workers know it
                except (JobtideError, OSError) as error:
                    _log.warning("%s; the next try is in %g s", error, _LOOK_SECONDS)

    def _start_on(self, port: int) -> str | None:
        """None when the server is ready; else the log of the server that ended."""
        settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(port)}.items()]
        # Not pg_ctl: it passes paths to a shell unquoted.
        with self._folder.new_log() as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._folder.data, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=programs.environment(),
                start_new_session=True,  # Ctrl-C is for this process, which then stops the server after the workers
                **programs.credentials(),
            )
        while self._process.poll() is None:
            if self._is_ready(self._process.pid):
                return None
            time.sleep(_POLL_SECONDS)
        self._process = None
        return self._folder.log_file.read_text(errors="replace")

    def _is_ready(self, pid: int) -> bool:
        """As the server writes it into its file: process id, five other lines, shared memory, state."""
        try:
            lines = (self._folder.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 1 and lines[0] == str(pid) and lines[-1].strip() == "ready"

    def _chosen_port(self) -> int:
        """The port of the last run, or another one if that is taken; the URL has it afterwards."""
        if _is_free(self._port):
            return self._port
        port = _free_port()
        self.url = _url(urlsplit(self.url).password or "", port)
        self._folder.store_url(self.url)
        return port

    @property
    def _port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def _create_database(self) -> None:
        maintenance = urlsplit(self.url)._replace(path="/postgres").geturl()
        try:
            with connect(maintenance, autocommit=True) as connection:
                if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchall():
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            self._stop("fast")
            if isinstance(error, psycopg.errors.DiskFull):
                raise self._folder.no_space(self._folder.data) from None
            raise ServerUnusable(
                f"the server on the data in {self._folder.data} refuses the URL in {self._folder.url_file}: "
                f"{one_line(error)}; run once with --fresh, which removes the data"
            ) from None

    def _end_leftovers(self) -> None:
        """Stops what a killed run left: its server, or processes that lost their server.

        A new server would refuse to start beside them. So it would if the old one's process id, which is still in
        the file, is another process's now.
        """
        if not (self._folder.data / "postmaster.pid").exists():
            return
        self._stop("fast")
        orphans = [process for process in psutil.process_iter() if _works_in(process.pid, self._folder.data)]
        for process in orphans:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT)
        _, alive = psutil.wait_procs(orphans, timeout=_END_SECONDS)
        if alive:
            raise ServerUnusable(
                f"processes {[process.pid for process in alive]} still use {self._folder.data}: end them"
            )
        (self._folder.data / "postmaster.pid").unlink(missing_ok=True)


def _url(password: str, port: int) -> str:
    return f"postgresql://{USER}:{password}@{HOST}:{port}/{DATABASE}"


def _works_in(pid: int, directory: Path) -> bool:
    """True if this process runs in `directory`, as every process of a server does in its data."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == directory
    except psutil.Error:
        return False


def _free_port() -> int:
    return next(port for port in random.SystemRandom().sample(PORTS, len(PORTS)) if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL's own
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
