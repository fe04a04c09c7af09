"""Hostile tenants: they write generated rows the whole time, one behind the shipped walls, one without them.

The one behind the walls is a tenant's user (role `authenticated`, row level security). It also tries what the walls
must refuse. The other one is a plain writer of all columns of its own tenant's rows, as an adopted table may allow.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg

from dev.postgres.hostile_rows import INSERT, LARGE_JSON, NUMBERS, STATUSES, TIMES, TYPES, tokens
from jobtide.sql import load

SQL = "dev.chaos.sql"
PAUSE_SECONDS = 0.25  # on average, between two transactions
LARGE_SHARE = 0.1  # of the JSON values; most of these have a megabyte
NULL_SHARE = 0.1
COPIED_SHARE = 0.5  # of the rows without walls have the claim token of a worker that runs
WANTED_SHARE = 0.6  # of the rows have a type that pools work on
LONGEST_COPIED_LEASE_SECONDS = 60  # a copied token keeps its pod from being scaled down for as long
LOST_UID = str(UUID(int=0xDEAD))
WALLED, UNWALLED = "behind walls", "without walls"

# What the walls must refuse: the words for a violation, and the statement. Each is rolled back.
FORBIDDEN: dict[str, LiteralString] = {
    "insert a finished job": "INSERT INTO job_queue (tenant_id, type, status) VALUES (%(own)s, 'x', 'completed')",
    "insert a running job": "INSERT INTO job_queue (tenant_id, type, worker_id) VALUES (%(own)s, 'x', 'jobtide:x:1')",
    "insert attempts": "INSERT INTO job_queue (tenant_id, type, attempts) VALUES (%(own)s, 'x', 2147483647)",
    "insert a job of another tenant": "INSERT INTO job_queue (tenant_id, type) VALUES (%(other)s, 'x')",
    "give a job to another tenant": "UPDATE job_queue SET tenant_id = %(other)s WHERE tenant_id = %(own)s",
    "change jobs of other tenants": "UPDATE job_queue SET payload = '{}' WHERE tenant_id <> %(own)s",
    "delete jobs of other tenants": "DELETE FROM job_queue WHERE tenant_id <> %(own)s",
    "read jobs of other tenants": "SELECT FROM job_queue WHERE tenant_id <> %(own)s",
    "write a result": "UPDATE job_queue SET result = '{}' WHERE tenant_id = %(own)s",
    "change a job that does not wait": (
        "UPDATE job_queue SET payload = '{}' WHERE tenant_id = %(own)s AND status <> 'pending'"
    ),
}


@dataclass(slots=True)
class Writing:
    """What one hostile tenant has done."""

    name: str
    stored: int = 0  # rows inserted or changed
    refused: int = 0  # statements that the server refused: a value that it can't store, a lock
    breaches: set[str] = field(default_factory=set)  # what it must not be able to do, and could


@dataclass(slots=True, kw_only=True)
class Hostile:
    """A thread that writes rows of one tenant until it is stopped. `user` is a user of the tenant behind the walls."""

    connect: Callable[[], psycopg.Connection[Any]]
    tenant: UUID
    other: UUID  # a tenant whose jobs it must not reach
    types: Sequence[str]  # that pools work on
    seed: int
    user: UUID | None = None
    writing: Writing = field(init=False)
    _dice: random.Random = field(init=False)
    _stopped: threading.Event = field(init=False, default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.writing = Writing(WALLED if self.user else UNWALLED)
        self._dice = random.Random(f"hostile {self.writing.name} {self.seed}")
        self._thread = threading.Thread(target=self._run, name=f"hostile tenant {self.writing.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last statement has its answer."""
        self._stopped.set()
        self._thread.join()

    def act(self, conn: psycopg.Connection[Any]) -> None:
        """One transaction; raises psycopg.Error if the connection is lost."""
        acts = (self._insert, self._change, self._delete, self._try_any_forbidden)
        (act,) = self._dice.choices(acts, (6, 2, 1, 1))
        try:
            with self._as_user(conn):
                act(conn)
        except psycopg.Error:
            if conn.broken:
                raise
            self.writing.refused += 1

    def try_forbidden(self, conn: psycopg.Connection[Any], words: str) -> None:
        """Tries one of FORBIDDEN, and notes a breach if it has an effect."""
        parameters = {"own": self.tenant, "other": self.other}
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege), self._as_user(conn, rolled_back=True):
            if conn.execute(FORBIDDEN[words], parameters).rowcount:
                self.writing.breaches.add(words)

    def _run(self) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(psycopg.Error), contextlib.closing(self.connect()) as conn:
                while not self._stopped.is_set():
                    self.act(conn)
                    self._stopped.wait(self._dice.uniform(0, 2 * PAUSE_SECONDS))
            self._stopped.wait(PAUSE_SECONDS)

    @contextlib.contextmanager
    def _as_user(self, conn: psycopg.Connection[Any], *, rolled_back: bool = False) -> Iterator[None]:
        with conn.transaction(force_rollback=rolled_back):
            conn.execute("SET LOCAL lock_timeout = '2s'")
            if self.user:
                conn.execute("SET LOCAL ROLE authenticated")
                conn.execute("SELECT set_config('request.jwt.claims', %s, true)", [json.dumps({"sub": str(self.user)})])
            yield

    def _insert(self, conn: psycopg.Connection[Any]) -> None:
        statement = load(SQL, "hostile_insert") if self.user else INSERT
        self.writing.stored += conn.execute(statement, self._row(conn)).rowcount

    def _change(self, conn: psycopg.Connection[Any]) -> None:
        statement = load(SQL, "hostile_change" if self.user else "hostile_forge")
        self.writing.stored += conn.execute(statement, self._row(conn)).rowcount

    def _delete(self, conn: psycopg.Connection[Any]) -> None:
        conn.execute(load(SQL, "hostile_delete"), {"tenant": self.tenant})

    def _try_any_forbidden(self, conn: psycopg.Connection[Any]) -> None:
        if self.user:
            self.try_forbidden(conn, self._dice.choice(list(FORBIDDEN)))

    def _row(self, conn: psycopg.Connection[Any]) -> Mapping[str, Any]:
        row = hostile_row(self._dice, self.types) | {"tenant": self.tenant}
        if self.user or self._dice.random() > COPIED_SHARE:
            return row
        # A token of a worker that runs, which a tenant may read in its own rows.
        copied = conn.execute(load(SQL, "hostile_token"), {"tenant": self.tenant}).fetchone()
        if copied is None:
            return row
        due = f"{self._dice.randrange(LONGEST_COPIED_LEASE_SECONDS)} s"
        (due_at,) = conn.execute("SELECT (now() + %s::interval)::text", [due]).fetchall()[0]
        return row | {"worker_id": copied[0], "status": self._dice.choice(STATUSES), "next_retry_at": due_at}


def hostile_row(dice: random.Random, wanted: Sequence[str]) -> dict[str, Any]:
    """Each column has any value that its type can store; more than half of the rows are of a wanted type."""
    return {
        "type": dice.choice(list(wanted) if dice.random() < WANTED_SHARE else TYPES),
        "status": dice.choice(STATUSES),
        "payload": _json(dice),
        "result": _json(dice),
        "worker_id": dice.choice(tokens(str(uuid4()), LOST_UID)),
        "attempts": dice.choice(NUMBERS),
        "next_retry_at": dice.choice(TIMES),
        "created_at": dice.choice(TIMES),
        "completed_at": dice.choice(TIMES),
    }


def _json(dice: random.Random) -> str | None:
    if dice.random() < LARGE_SHARE:
        return dice.choice(LARGE_JSON)
    return None if dice.random() < NULL_SHARE else json.dumps(_value(dice, 3))


def _value(dice: random.Random, depth: int) -> Any:
    kind = dice.randrange(7 if depth else 5)
    match kind:
        case 0:
            return dice.choice((None, True, False))
        case 1:
            return dice.choice(NUMBERS) * 10 ** dice.randrange(30)
        case 2:
            return dice.gauss(0, 1e9)
        case 3 | 4:
            return dice.choice(("", "seconds", "\x01\u2028", "\U0010ffff" * 100, "'; DROP TABLE job_queue; --"))
        case 5:
            return [_value(dice, depth - 1) for _ in range(dice.randrange(5))]
        case _:
            names = ("seconds", "text", "refused", "", "\x01", "error", "suspect")
            return {dice.choice(names): _value(dice, depth - 1) for _ in range(dice.randrange(5))}


@contextlib.contextmanager
def hostile_tenants(hostiles: Sequence[Hostile]) -> Iterator[None]:
    """They write inside the block."""
    for one in hostiles:
        one.start()
    try:
        yield
    finally:
        for one in hostiles:
            one.stop()
