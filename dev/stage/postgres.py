"""PostgreSQL in the cluster: two databases with the schema, a login for each part, and a way to kill the server."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from dev.machine.shell import CommandError, run
from dev.machine.wait import wait_until
from dev.stage.kubectl import Kubectl
from dev.stage.tunnel import Tunnel

HERE = Path(__file__).parent
IMAGE_IN_MANIFEST = "jobtide-demo/postgres"
NAMESPACE = "default"
DATABASES = ("main", "second")
SUPERUSER, WORKER, CONTROLLER = "postgres", "demo_worker", "demo_controller"
GROUPS = {WORKER: "jobtide_worker", CONTROLLER: "jobtide_controller"}

_KILL = 'echo $(($(date +%s) + {seconds})) > /data/down-until && kill -9 "$(head -n 1 /data/main/postmaster.pid)"'


@dataclass(slots=True)
class ClusterPostgres:
    """The server behind the Service pg.default.svc."""

    kubectl: Kubectl
    passwords: dict[str, str] = field(init=False, default_factory=dict, repr=False)
    _tunnel: Tunnel = field(init=False)

    def __post_init__(self) -> None:
        self._tunnel = Tunnel(self.kubectl, "service/pg", 5432, NAMESPACE)

    def ensure(self, image: str) -> None:
        """Starts the server and makes the databases, the schema and the logins; what exists is kept."""
        self.passwords = self._ensure_passwords()
        manifest = (HERE / "postgres.yaml").read_text()
        self.kubectl.apply(manifest.replace(IMAGE_IN_MANIFEST, image), namespace=NAMESPACE)
        self.kubectl("rollout", "status", "deployment/pg", "--namespace", NAMESPACE, "--timeout", "120s")
        with self.connect("postgres") as conn:
            known = {name for (name,) in conn.execute("SELECT datname FROM pg_database")}
            for database in DATABASES:
                if database not in known:
                    conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        for database in DATABASES:
            self._apply_schema(database)
        self._ensure_logins()

    def service_url(self, database: str, user: str) -> str:
        """The URL for pods."""
        return f"postgresql://{user}:{self.passwords[user]}@pg.{NAMESPACE}.svc:5432/{database}"

    def url(self, database: str, user: str = SUPERUSER) -> str:
        """The URL for this process. The port changes when the tunnel has to be opened again."""
        return f"postgresql://{user}:{self.passwords[user]}@127.0.0.1:{self._tunnel.port()}/{database}"

    @contextlib.contextmanager
    def connect(self, database: str, *, within_seconds: float = 60.0) -> Iterator[psycopg.Connection[Any]]:
        """A connection in autocommit, as superuser; waits for a server that is starting."""
        conn = self._connect(database, within_seconds)
        try:
            yield conn
        finally:
            conn.close()

    def kill(self, *, down_seconds: int) -> None:
        """SIGKILL to the server; its container restarts, and starts the server after `down_seconds`."""
        script = _KILL.format(seconds=down_seconds)
        self.kubectl("exec", "--namespace", NAMESPACE, "deployment/pg", "--", "sh", "-c", script)

    def close(self) -> None:
        self._tunnel.close()

    def _connect(self, database: str, within_seconds: float) -> psycopg.Connection[Any]:
        problems: list[Exception] = []

        def connected() -> psycopg.Connection[Any] | None:
            try:
                url = self.url(database)
                return psycopg.connect(url, autocommit=True, connect_timeout=5, prepare_threshold=None)
            except (psycopg.OperationalError, CommandError) as error:
                self._tunnel.close()
                problems.append(error)
                return None

        return wait_until(
            f"a connection to database {database} of the cluster's PostgreSQL",
            connected,
            within_seconds=within_seconds,
            poll_seconds=0.2,
            reason=lambda: f"{problems[-1]}; see `kubectl logs deployment/pg`",
        )

    def _ensure_passwords(self) -> dict[str, str]:
        """The passwords of an earlier run, if there was one: its data has them."""
        found = self.kubectl("get", "secret", "pg", "--namespace", NAMESPACE, "--ignore-not-found", "-o", "json")
        if found.strip():
            known = json.loads(found)["data"]
            return {user: b64decode(known[user]).decode() for user in (SUPERUSER, *GROUPS)}
        made = {user: secrets.token_hex(16) for user in (SUPERUSER, *GROUPS)}
        self.kubectl.apply_secret(NAMESPACE, "pg", made)
        return made

    def _apply_schema(self, database: str) -> None:
        command = [sys.executable, "-m", "jobtide", "schema", "apply", "--roles", "--tenant-walls"]
        run(command, environ={"JOBTIDE_DATABASE_URL": self.url(database)})

    def _ensure_logins(self) -> None:
        """One login for each part, with the least rights that it needs, as in production."""
        with self.connect("postgres") as conn:
            for login, group in GROUPS.items():
                names = {"login": sql.Identifier(login), "group": sql.Identifier(group)}
                if not conn.execute("SELECT FROM pg_roles WHERE rolname = %s", [login]).fetchall():
                    conn.execute(sql.SQL("CREATE ROLE {login} LOGIN IN ROLE {group}").format(**names))
                password = sql.Literal(self.passwords[login])
                # LOGIN and the limit: a chaos run that was killed may have left them changed.
                change = sql.SQL("ALTER ROLE {login} LOGIN CONNECTION LIMIT -1 PASSWORD {password}")
                conn.execute(change.format(**names, password=password))
