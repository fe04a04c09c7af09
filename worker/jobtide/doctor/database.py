"""The doctor's look at the database: the checks in their order, each by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

from jobtide.database_errors import one_line
from jobtide.doctor import schema, session
from jobtide.doctor.findings import Check, Finding, guarded
from jobtide.doctor.link import Link
from jobtide.doctor.settings import setting_findings
from jobtide.doctor.table import table_findings
from jobtide.doctor.trial import trial_findings
from jobtide.doctor.url import advice, url_findings
from jobtide.errors import JobtideError
from jobtide.schema import Part
from jobtide.schema.check import read_facts
from jobtide.schema.problems import Facts, use_problems
from jobtide.sql import load
from jobtide.table_health import health_of

ANSWER_SECONDS = 10.0


class Examination:
    """One database and one role in its work as `part`."""

    def __init__(self, url: str, part: Part, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._part = part
        self._link = Link(url, answer_seconds)
        self._about: Mapping[str, Any] = {}
        self._facts: Facts = {}  # empty: could not be read

    def findings(self) -> Iterator[Finding]:
        """All of them, in the order in which a reader mends them."""
        yield from guarded("url", lambda: url_findings(self._link.url))
        try:
            first = list(self._connect())
        except (psycopg.Error, OSError, JobtideError) as error:
            words = one_line(error)
            yield Finding("connection", "error", f"{words}{advice(words)}")
            yield Finding("database", "skipped", "all checks of the table and the role need a connection")
            return
        yield from first
        try:
            for name, check in self._checks():
                yield from guarded(name, check)
        finally:
            self._link.close()

    def _connect(self) -> Iterator[Finding]:
        started = time.monotonic()
        self._link.connection()
        milliseconds = 1_000 * (time.monotonic() - started)
        self._about = self._link.row(load("jobtide.doctor", "sql/session"))
        yield from session.version_findings(self._about, milliseconds)

    def _checks(self) -> Iterator[tuple[str, Check]]:
        """Those that come later depend on what was found before."""
        link, about, part = self._link, self._about, self._part
        yield "tls", lambda: session.tls_findings(link)
        yield "pooler", lambda: session.pooler_findings(link, about, part)
        yield "clock", lambda: session.clock_findings(link)
        yield "role", lambda: session.role_findings(about, part)
        yield "settings", lambda: setting_findings(about["settings"])
        yield "connections", lambda: session.connection_findings(link, about, part)
        yield "table", self._table
        if self._facts and not schema.is_table(self._facts):
            return
        if self._facts:
            yield "schema", lambda: schema.version_findings(link, self._facts)
            yield "limits", lambda: schema.limits_findings(link, part)
        yield "trial", self._trial
        yield "health", self._health

    def _table(self) -> Iterator[Finding]:
        with self._link.bounded() as connection:
            self._facts = read_facts(connection)
        yield from schema.check_findings(self._facts, self._part)

    def _health(self) -> Iterator[Finding]:
        """No work of a worker or the controller needs it: a role that may not see it is no error."""
        try:
            row = self._link.row(load("jobtide.schema", "sql/table_health"))
        except psycopg.errors.InsufficientPrivilege as error:
            yield Finding("health", "warning", f"can't be read: {one_line(error)}; GRANT SELECT on it to the role")
            return
        yield from table_findings(health_of(row))

    def _trial(self) -> Iterator[Finding]:
        if not self._facts or any(problem.fatal for problem in use_problems(self._facts, self._part)):
            yield Finding("trial", "skipped", "the errors above come first")
        else:
            yield from trial_findings(self._link.url, self._part, self._link.answer_seconds)
