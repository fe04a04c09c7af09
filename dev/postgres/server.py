"""Real PostgreSQL servers for tests, benchmarks and the demo: Debian's 15 and the wheel's 18.

    with Server(version=18) as server:
        psycopg.connect(server.url("postgres"))

A server lives in a temporary directory and ends with the process that started it, also if that is killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from dev.machine.ports import free_port
from dev.machine.wait import first_true, wait_until
from dev.postgres.programs import VERSIONS, ServerError, binaries, popen_as_owner, run
from jobtide_controller.embedded.programs import account

__all__ = ["VERSIONS", "Server", "ServerError"]

SUPERUSER = "postgres"

_POLL_SECONDS = 0.01

MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 << 30

# A test's data may be lost in a power cut; without fsync no test waits for a disk.
VOLATILE = {"fsync": "off", "full_page_writes": "off"}
DEFAULTS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_min_messages": "warning",
}

# Ends the server when its standard input is closed, which also happens when the owner is killed.
GUARD = 'cat >/dev/null; "$1" -D "$2/data" -m immediate stop >/dev/null 2>&1; rm -rf "$2"'


@dataclass(slots=True, kw_only=True)
class Server:
    """One PostgreSQL server on loopback TCP and a socket; authentication is `trust` unless a password is given.

    Unless it is `durable`, it runs without fsync, and its files are in memory where there is room.
    """

    version: int = 18
    settings: Mapping[str, str] = field(default_factory=dict)
    durable: bool = False
    password: str | None = None
    host: str = "127.0.0.1"
    port: int = 0
    directory: Path = field(init=False)
    _guard: subprocess.Popen[bytes] | None = field(init=False, default=None, repr=False)

    def __enter__(self) -> Self:
        try:
            self.create()
            self.start()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.destroy()

    def create(self) -> None:
        """Runs initdb; call `start()` next."""
        pg_ctl = self.bin / "pg_ctl"  # first: it may have to be installed
        self.directory = Path(tempfile.mkdtemp(prefix=f"jobtide-pg{self.version}-", dir=self._parent()))
        self.port = self.port or free_port(self.host)
        if os.geteuid() == 0:
            owner = account()
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
        self._guard = popen_as_owner(["sh", "-c", GUARD, "guard", str(pg_ctl), str(self.directory)])
        self._initdb()
        self._configure()

    def start(self) -> None:
        """Starts the server and waits until it accepts connections."""
        run([self.bin / "pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "60", "start"], log=self.log)

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stops the server and waits; `immediate` is a crash, and the next start recovers from it."""
        run([self.bin / "pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "60", "stop"])

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its backends, as by the kernel's out-of-memory killer."""
        postmaster = self.pid
        family = [postmaster, *_children(postmaster)]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(
            f"the end of processes {family}",
            lambda: not any(map(_alive, family)),
            within_seconds=30,
            poll_seconds=_POLL_SECONDS,
        )
        if not first_true(lambda: not _exists(postmaster), within_seconds=2, poll_seconds=_POLL_SECONDS):
            # No process here reaps it, and the next postmaster would take the zombie for a running server.
            (self.data / "postmaster.pid").unlink()

    def promote(self) -> None:
        run([self.bin / "pg_ctl", "-D", self.data, "-w", "promote"])

    def become_standby(self) -> None:
        """Restarts in recovery without a primary: reads work, writes are refused, until `promote()`."""
        self.stop()
        run(["touch", self.data / "standby.signal"])
        self.start()

    def destroy(self) -> None:
        """Stops the server if it runs and removes its directory."""
        if self._guard is not None:
            self._guard.communicate()
            self._guard = None

    def url(self, dbname: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        password = password if password is not None else self.password
        secret = f":{quote(password, safe='')}" if password is not None else ""
        return f"postgresql://{quote(user, safe='')}{secret}@{self.host}:{self.port}/{quote(dbname, safe='')}"

    @property
    def dsn(self) -> str:
        """The superuser's URL of the maintenance database."""
        return self.url()

    @property
    def bin(self) -> Path:
        """The folder of psql, pgbench and pg_dump of this version."""
        return binaries(self.version)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def pid(self) -> int:
        """The postmaster's process id; raises FileNotFoundError if it does not run."""
        return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])

    def _parent(self) -> Path | None:
        """A folder in memory where there is room: a database is cloned there in 15 ms, on a busy disk in 300 ms."""
        roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
        return MEMORY if roomy and not self.durable else None

    def _initdb(self) -> None:
        command: list[str | Path] = [
            self.bin / "initdb",
            "-D",
            self.data,
            "-U",
            SUPERUSER,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]
        command += [
            "--no-instructions",
            "--no-sync",
            "-A",
            "trust" if self.password is None else "scram-sha-256",
        ]
        if self.password is None:
            run(command)
            return
        secret = self.directory / "password"
        secret.touch(mode=0o644)
        secret.write_text(self.password)
        try:
            run([*command, f"--pwfile={secret}"])
        finally:
            secret.unlink()

    def _configure(self) -> None:
        settings = DEFAULTS | ({} if self.durable else VOLATILE) | dict(self.settings)
        settings |= {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
        }
        lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(lines)


def _children(parent: int) -> list[int]:
    """The backends, found by their parent: each leads a process group of its own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
