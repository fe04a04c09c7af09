"""PostgreSQL as an application in the cluster reaches it, and faults of its processes, logins and rows."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from dev.machine.daemons import PROC
from dev.machine.errors import DevError
from dev.machine.wait import wait_until
from dev.stage.guard import frozen, send
from dev.stage.kubectl import Kubectl
from dev.stage.postgres import NAMESPACE, SUPERUSER, WORKER, ClusterPostgres
from dev.stage.processes import Process, processes_of
from jobtide.sql import load

# Kubernetes' back-off may delay the restart of the container.
BACK_WITHIN_SECONDS = 180.0
CUT_SHARE = 0.7  # of the workers' connections end with the fault: some workers keep one of their two
MOST_ROWS_LOCKED = 3
PATIENCE = {"connect_timeout": "3", "tcp_user_timeout": "10000", "options": "-c statement_timeout=60000"}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Reached at the address of its Service: a tunnel would need the API server and the kubelet."""

    pod_uid: str
    address: str
    password: str = field(repr=False)
    database: str = "main"

    @classmethod
    def of(cls, kubectl: Kubectl, postgres: ClusterPostgres) -> PostgresServer:
        place = ("--namespace", NAMESPACE)
        (pod,) = kubectl.json("get", "pods", *place, "--selector", "app.kubernetes.io/name=pg")["items"]
        service = kubectl.json("get", "service", "pg", *place)
        address = service["spec"]["clusterIP"]
        return cls(pod["metadata"]["uid"], address, postgres.passwords[SUPERUSER])

    def connect(self) -> psycopg.Connection[Any]:
        """Tries once; raises psycopg.OperationalError if the server is down."""
        url = f"postgresql://{SUPERUSER}:{self.password}@{self.address}:5432/{self.database}"
        return psycopg.connect(make_conninfo(url, **PATIENCE), autocommit=True, prepare_threshold=None)

    @contextlib.contextmanager
    def killed(self, down_seconds: float) -> Iterator[None]:
        """SIGKILL to the server. Its container ends and the next one waits; the block ends when the server answers."""
        postmaster = self._postmaster()
        data = PROC / str(postmaster.pid) / "root" / "data"
        down_until = data / "down-until"
        down_until.write_text(f"{int(time.time() + down_seconds) + 1}\n")
        server = (data / "main" / "postmaster.pid").stat()
        os.chown(down_until, server.st_uid, server.st_gid)  # in the demo the server's user writes this file
        send(postmaster.pid, signal.SIGKILL)
        yield
        self.wait_back()

    @contextlib.contextmanager
    def backend_killed(self, dice: float) -> Iterator[str]:
        """SIGKILL to one of its processes: the server ends all connections and recovers, in the same container."""
        backends = [
            process for process in processes_of(self.pod_uid) if process.command[0].startswith("postgres: demo")
        ]
        if not backends:
            raise DevError("PostgreSQL has no connection whose server process could be killed")
        backend = backends[int(dice * len(backends))]
        send(backend.pid, signal.SIGKILL)
        yield " ".join(backend.command).strip()
        self.wait_back()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stops all its processes: connections stay open without an answer."""
        self._postmaster()
        family = [process.pid for process in processes_of(self.pod_uid) if process.command[0].startswith("postgres:")]
        with frozen([self._postmaster().pid, *family]):
            yield
        self.wait_back()

    @contextlib.contextmanager
    def rows_locked(self, tenants: Sequence[UUID], dice: float) -> Iterator[frozenset[UUID]]:
        """A transaction holds the locks of some of these tenants' rows, running or waiting ones."""
        drawn = random.Random(dice)
        wanted = {
            "tenants": list(tenants),
            "status": drawn.choice(("processing", "processing", "pending")),
            "rows": drawn.randint(1, MOST_ROWS_LOCKED),
        }
        with self._tried() as conn:
            conn.execute("BEGIN")
            locked = frozenset(id_ for (id_,) in conn.execute(load("dev.chaos.sql", "lock"), wanted))
            if not locked:
                raise DevError(f"no row is {wanted['status']} at the moment")
            yield locked

    @contextlib.contextmanager
    def workers_refused(self, refuse: LiteralString, restore: LiteralString, dice: float) -> Iterator[str]:
        """Changes the workers' login by ALTER ROLE, and ends most of its connections; restores it afterwards."""
        drawn = random.Random(dice)
        try:
            with self._tried() as conn:
                conn.execute(_alter_role(refuse))
                open_ = conn.execute("SELECT pid FROM pg_stat_activity WHERE usename = %s ORDER BY pid", [WORKER])
                cut = [pid for (pid,) in open_.fetchall() if drawn.random() < CUT_SHARE]
                conn.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [cut])
            yield f"{WORKER}, {len(cut)} connections ended"
        finally:
            wait_until("the workers' login", lambda: self._alter(restore), within_seconds=BACK_WITHIN_SECONDS)

    def _alter(self, change: LiteralString) -> bool:
        with contextlib.suppress(psycopg.OperationalError), contextlib.closing(self.connect()) as conn:
            conn.execute(_alter_role(change))
            return True
        return False

    @contextlib.contextmanager
    def _tried(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of one fault; raises DevError if there is none, since another fault strikes PostgreSQL."""
        try:
            with contextlib.closing(self.connect()) as conn:
                yield conn
        except psycopg.OperationalError as error:
            raise DevError(f"PostgreSQL does not answer: {error}") from error

    def wait_back(self) -> None:
        """Raises DevError if PostgreSQL does not answer within BACK_WITHIN_SECONDS."""
        wait_until("PostgreSQL's return", self._answers, within_seconds=BACK_WITHIN_SECONDS)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _postmaster(self) -> Process:
        found = processes_of(self.pod_uid, "postgres", "-D")
        if not found:
            raise DevError(f"pod {self.pod_uid} of PostgreSQL runs no server at the moment")
        return found[0]


def _alter_role(change: LiteralString) -> sql.Composed:
    return sql.SQL("ALTER ROLE {} {}").format(sql.Identifier(WORKER), sql.SQL(change))
