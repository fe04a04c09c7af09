"""A real PgBouncer in front of a Server, in transaction mode as most hosted PostgreSQL has one, or in session mode.

with PgBouncer(server) as pooler:
    psycopg.connect(pooler.url("main"))
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from dev.machine.ports import free_port
from dev.machine.system import ensure_packages
from dev.machine.wait import wait_until
from dev.postgres.programs import ServerError, popen_as_owner
from dev.postgres.server import SUPERUSER, Server
from jobtide_controller.embedded.programs import account

_START_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class PgBouncer:
    """Few server connections for many clients, so that clients do get connections that others used."""

    server: Server
    pool_size: int = 3
    mode: Literal["transaction", "session"] = "transaction"
    user: str = SUPERUSER  # of all connections to the server, and of the URL
    port: int = field(init=False, default=0)
    _directory: Path = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None, repr=False)

    def __enter__(self) -> Self:
        ensure_packages({"pgbouncer": "/usr/sbin/pgbouncer"})
        self._directory = Path(tempfile.mkdtemp(prefix="jobtide-pgbouncer-"))
        self._directory.chmod(0o755)
        self.port = free_port()
        self._configure()
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def start(self) -> None:
        process = popen_as_owner(["/usr/sbin/pgbouncer", "-q", str(self._directory / "pgbouncer.ini")])
        self._process = process

        def answers() -> bool:
            if process.poll() is not None:
                raise ServerError(f"pgbouncer ended with exit code {process.returncode} instead of starting")
            return _answers(self.port)

        wait_until(f"pgbouncer on port {self.port}", answers, within_seconds=_START_SECONDS, poll_seconds=0.02)

    def stop(self) -> None:
        """Ends all client connections at once, as a crash or a restart does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def url(self, dbname: str) -> str:
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{dbname}"

    def _configure(self) -> None:
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "auth_type": "any",
            "pool_mode": self.mode,
            "default_pool_size": self.pool_size,
            "max_client_conn": 200,
            "unix_socket_dir": "",
        }
        where = f"host={self.server.host} port={self.server.port} user={self.user}"
        lines = [
            "[databases]",
            f"* = {where}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        file = self._directory / "pgbouncer.ini"
        file.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            os.chown(file, account().pw_uid, account().pw_gid)


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
