"""Tries on a real row what workers do with jobs, in a transaction that is rolled back.

The catalogs can't show everything that claims and ends rely on: a trigger may ignore a write, a constraint may refuse
it, a cast may be another one. So a job is added, claimed, extended, ended in each way and rescued, with the statements
that a worker sends. No other transaction sees it, and no other row is touched.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from jobtide.context import Context
from jobtide.job import End, Job
from jobtide.queue.caps import TenantCaps
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Lap, Mark, Range, Ring
from jobtide.queue.session import Connection, Session
from jobtide.schema.check import read_facts
from jobtide.schema.problems import Facts, Problem, ProblemKind
from jobtide.sql import load

_TYPE = "jobtide.trial"
_LEASE_SECONDS, _EXTENDED_SECONDS = 60.0, 120.0
_NO_CAP = 1_000_000

# For this transaction alone. A trial waits for no lock, and its values are read with one date style.
_PINS: LiteralString = """
SELECT
    set_config('lock_timeout', '2s', true),
    set_config('statement_timeout', '10s', true),
    set_config('datestyle', 'ISO', true),
    set_config('row_security', 'on', true)
"""
# Conflicts with others, a full server, a cancelled statement: nothing about the table.
_PASSING = ("40", "53", "55P03", "57")
# An unknown or wrong type, function, column or operator, a missing right, a rule: every row is concerned.
_OF_EVERY_ROW = ("42", "0A")


def try_out(connection: Connection) -> tuple[Problem, ...]:
    """The problems of a job's whole way through the table, for the role of this connection; empty if there are none.

    Call it if `check` found nothing fatal. The connection must be in autocommit mode. Raises psycopg.Error if the
    connection breaks.
    """
    facts = read_facts(connection)
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(_PINS)
            return _Trial(connection, facts).problems()
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        return (_not_tried(_words(error)),)


@dataclass(frozen=True, slots=True)
class _OneRow(Ring):
    """A lap that finds one row first: the one at `mark`."""

    mark: Mark | None = None

    def lap(self) -> Lap:
        return (Range(self.types[0], self.tenant, self.tenant, self.mark),)


class _TrialSession(Session):
    """Sends the queue's statements in the trial's transaction, and lets errors pass as they are."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(str)
        self._connection = connection

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        yield


class _Trial:
    def __init__(self, connection: Connection, facts: Facts) -> None:
        self._connection = connection
        self._facts = facts
        self._table = facts["table"]
        self._where = f"{self._table['schema']}.job_queue"
        self._pod = f"local-trial-{secrets.token_hex(8)}"

    def problems(self) -> tuple[Problem, ...]:
        """Of the first tenant and type; none if all goes well with another: then they concern those rows alone."""
        first: tuple[Problem, ...] = ()
        refusal = ""
        for tenant_id, type_ in self._candidates():
            try:
                with self._savepoint(keep=False):
                    found = self._walk(tenant_id, type_)
            except psycopg.Error as error:
                if error.sqlstate is None:
                    raise
                refusal = refusal or f"the server refused a job of tenant {tenant_id} and type {type_}: {_words(error)}"
                continue
            if not found:
                return ()
            first = first or found
            if found[-1].kind is ProblemKind.NOT_TRIED:  # a timeout or lock: another job would only wait as long again
                break
        return first or (_not_tried(refusal or self._why_no_tenant()),)

    def _candidates(self) -> Iterator[tuple[UUID, str]]:
        new = self._new_tenant()
        known = self._connection_rows(load("jobtide.sql", "trial/known"))
        types = [_TYPE, *{row["type"] for row in known}]
        for tenant_id in ([] if new is None else [new]) + [row["tenant_id"] for row in known]:
            for type_ in types:
                yield tenant_id, type_
        if new is None and not known:
            yield from ((tenant_id, _TYPE) for tenant_id in self._any_tenant())

    def _new_tenant(self) -> UUID | None:
        """A tenant of the trial's own, if the role may add one; without a foreign key any UUID is a tenant."""
        tenant_id, key = uuid4(), self._table["tenants_key"]
        if key is None:
            return tenant_id
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            _quoted(key["table"]), sql.Identifier(key["column"]), tenant_id
        )
        try:
            with self._savepoint():
                self._connection.execute(insert)
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise
            return None
        return tenant_id

    def _any_tenant(self) -> list[UUID]:
        key = self._table["tenants_key"]
        select = sql.SQL("SELECT {} AS id FROM {} LIMIT 1").format(sql.Identifier(key["column"]), _quoted(key["table"]))
        try:
            with self._savepoint():
                return [row["id"] for row in self._connection_rows(select)]
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise
            return []

    def _why_no_tenant(self) -> str:
        table = self._table["tenants_key"]["table"]
        return (
            f"role {self._facts['role']} can't add a tenant to {table}, and the table has no job whose tenant could be "
            "used. Check again as the table's owner, or after the first job"
        )

    def _walk(self, tenant_id: UUID, type_: str) -> tuple[Problem, ...]:
        """Raises psycopg.Error if the job itself can't be added."""
        id_ = uuid4()
        asked = {"id": str(id_), "tenant_id": str(tenant_id), "type": type_, "payload": {}, "after_seconds": -60}
        added = self._connection_rows(load("jobtide.sql", "enqueue"), {"asked": json.dumps([asked])})
        self._check_constraints()
        row = self._look(id_)
        if not added or row is None:
            return (self._ignored("the insert of a job", "no row"),)
        place = _OneRow((type_,), tenant=tenant_id.int, mark=Mark(row["due_at"], id_) if row["due_at"] else None)
        claimed: list[Job] = []

        def claim() -> set[UUID]:
            claimed.extend(self._queue().claim(place, 1, 1).jobs)
            return {job.id for job in claimed}

        def is_claimed(row: dict[str, Any]) -> bool:
            job = claimed[0]
            fence = (row["status"], row["worker_id"], row["attempts"]) == ("processing", job.token, job.attempt)
            return fence and job.attempt > 0 and bool(row["lease_seconds"])

        problem = self._step("a claim", id_, claim, is_claimed, keep=True)
        if problem is not None:
            return (problem,)
        return tuple(filter(None, self._ends(claimed[0], place)))

    def _ends(self, job: Job, place: _OneRow) -> Iterator[Problem | None]:
        """Each way on from a claim, every one from the same state."""
        queue = self._queue()

        def extended(row: dict[str, Any]) -> bool:
            return (row["lease_seconds"] or 0) > (_LEASE_SECONDS + _EXTENDED_SECONDS) / 2

        context = Context(job)
        context.progress(0.5, "trial")
        longer = self._queue(lease_seconds=_EXTENDED_SECONDS)
        yield self._step("the extension of a lease", job.id, lambda: longer.extend([context]), extended)
        for what, end in (
            ("the end of a completed job", End(job, "completed", '{"trial": true}')),
            ("the end of a failed job", End(job, "failed", '{"error": {"type": "Trial", "message": "trial"}}')),
            ("the requeue of a job for a retry", End(job, "pending", '{"error": {"type": "Trial"}}', 1.0)),
        ):
            yield self._step(what, job.id, partial(queue.finish, [end]), _has_status(end.status))
        yield self._step(
            "the rescue of a job", job.id, lambda: {one.id for one in queue.rescue_own_pod()}, _has_status("pending")
        )

        def claim_again() -> set[UUID]:
            queue.finish([End(job, "pending")])
            self._queue(caps=TenantCaps(_NO_CAP)).claim(place, 1, 1)
            return {job.id}  # another worker may hold the tenant's lock: only a refusal is a problem

        yield self._step("a claim under tenant caps", job.id, claim_again, lambda _: True)

    def _step(
        self,
        what: str,
        id_: UUID,
        act: Callable[[], set[UUID]],
        is_right: Callable[[dict[str, Any]], bool],
        *,
        keep: bool = False,
    ) -> Problem | None:
        try:
            with self._savepoint(keep=keep):
                returned = act()
                self._check_constraints()
                row = self._look(id_)
                if row is None or id_ not in returned or not is_right(row):
                    return self._ignored(what, "no row" if row is None else f"status {row['status']}, due {row['due']}")
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise
            return self._refused(what, error)
        return None

    def _queue(self, *, lease_seconds: float = _LEASE_SECONDS, caps: TenantCaps | None = None) -> PostgresJobQueue:
        session = _TrialSession(self._connection)
        return PostgresJobQueue(session, pod_uid=self._pod, lease_seconds=lease_seconds, caps=caps or TenantCaps())

    @contextmanager
    def _savepoint(self, *, keep: bool = True) -> Iterator[None]:
        with self._connection.transaction(force_rollback=not keep):
            yield

    def _check_constraints(self) -> None:
        """Those that wait for the commit would never run: it does not come."""
        self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def _look(self, id_: UUID) -> dict[str, Any] | None:
        return next(iter(self._connection_rows(load("jobtide.sql", "trial/look"), {"id": id_})), None)

    def _connection_rows(self, query: Any, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, parameters).fetchall()

    def _refused(self, what: str, error: psycopg.Error) -> Problem:
        code = error.sqlstate or ""
        if code.startswith(_PASSING):
            return _not_tried(f"{what} failed for now: {_words(error)}")
        if code.startswith(_OF_EVERY_ROW):
            return Problem(
                ProblemKind.WRITE_REFUSED,
                f"the server refuses {what} of {self._where}: {_words(error)}.{self._hooks()}",
            )
        return Problem(
            ProblemKind.WRITE_REFUSED,
            f"the server refused {what}, a trial on {self._where}: {_words(error)}. Jobs that it refuses so "
            f"can't run or end.{self._hooks()}",
            fatal=False,
        )

    def _ignored(self, what: str, found: str) -> Problem:
        return Problem(
            ProblemKind.WRITE_IGNORED,
            f"{what} in {self._where} gave no error and had no effect (a trial, rolled back, found: {found}), so jobs "
            f"would run again and again.{self._hooks() or ' A default may differ from the contract.'}",
        )

    def _hooks(self) -> str:
        """Where to look: what the table does by itself at each write."""
        hooks = self._table["hooks"]
        return f" Look at {', '.join(hooks)} of {self._where}" if hooks else ""


def _has_status(status: str) -> Callable[[dict[str, Any]], bool]:
    return lambda row: row["status"] == status


def _not_tried(why: str) -> Problem:
    return Problem(ProblemKind.NOT_TRIED, f"claims and ends were not tried on a job: {why}", fatal=False)


def _words(error: psycopg.Error) -> str:
    return f"{error.diag.message_primary or type(error).__name__} (SQLSTATE {error.sqlstate})"


def _quoted(name: str) -> sql.SQL:
    """A name as the server's regclass writes it: quoted already."""
    return sql.SQL(name)
