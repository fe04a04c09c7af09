"""Creates the missing parts of the table; changes nothing if an existing part contradicts the contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import Connection, errors, sql

from jobtide.database_errors import connect
from jobtide.errors import JobtideError
from jobtide.schema.check import read_facts
from jobtide.schema.problems import Facts, Problem, has_index, index_problems, shape_problems, wall_problems
from jobtide.schema.script import (
    ALWAYS_FILES,
    DEFAULT_LOCK_TIMEOUT_SECONDS,
    INDEXES,
    ROLES_FILE,
    TABLE_FILES,
    TENANT_WALLS,
    WAKE_FILE,
    WAKE_TRIGGER,
    index_file,
    index_statement,
    script,
    statement,
)

# 'jobtide' in ASCII: one apply at a time in a database.
ADVISORY_LOCK = 0x6A6F6274696465
ATTEMPTS = 5
# CREATE INDEX CONCURRENTLY waits, without blocking others, for every older transaction to end.
INDEX_WAIT_SECONDS = 600.0

# Two databases of one server share their roles, which the advisory lock does not cover.
COLLISIONS = (
    errors.UniqueViolation,
    errors.DuplicateObject,
    errors.DuplicateTable,
    errors.DuplicateFunction,
    errors.DuplicateSchema,
    errors.DeadlockDetected,
    errors.InternalError_,  # "tuple concurrently updated"
)


# For the whole session, which is this process's own: a role's statement_timeout would stop the build of an index.
_PINS: LiteralString = """
SELECT
    set_config('statement_timeout', '0', false),
    set_config('row_security', 'on', false),
    set_config('quote_all_identifiers', 'off', false),
    set_config('default_transaction_isolation', 'read committed', false)
"""


class SchemaError(JobtideError):
    """The table was not changed, or only in part; the message names the obstacle."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did, in order, and the problems that it left to the user."""

    done: tuple[str, ...]
    warnings: tuple[Problem, ...] = ()


def apply(
    url: str,
    *,
    roles: bool = False,
    tenant_walls: bool = False,
    wake: bool = True,
    lock_timeout_seconds: float = DEFAULT_LOCK_TIMEOUT_SECONDS,
    wait_seconds: float = 60.0,
    report: Callable[[str], None] = lambda _: None,
) -> Applied:
    """Creates the missing parts; safe to repeat and to run twice at once.

    `tenant_walls`: limits what tenants' users may write on a table that exists too; a new one has these limits.
    `wake`: adds the trigger by which an INSERT wakes idle workers; without it, one that is there stays.

    `url` must lead to the server itself, not to a pooler in transaction mode: an advisory lock is held from the first
    check of the table to the last index. Waits up to `wait_seconds` for another apply to end, and up to
    `lock_timeout_seconds` for a lock on a table. Raises SchemaError, or psycopg.Error if the connection breaks.
    """
    with connect(url, autocommit=True, prepare_threshold=None) as conn, _alone(conn, wait_seconds):
        conn.execute(_PINS)
        _refuse_contradictions(read_facts(conn))
        done = _retried(
            lambda: _apply_in_transaction(
                conn, roles=roles, tenant_walls=tenant_walls, wake=wake, lock_timeout_seconds=lock_timeout_seconds
            )
        )
        done += _apply_indexes(conn, report)
        facts = read_facts(conn)
        leftover = (*shape_problems(facts), *index_problems(facts), *wall_problems(facts))
    return Applied(tuple(done), tuple(problem for problem in leftover if not problem.fatal))


@contextmanager
def _alone(conn: Connection[Any], wait_seconds: float) -> Iterator[None]:
    """Polls: CREATE INDEX CONCURRENTLY would wait for a session that blocks in pg_advisory_lock."""
    deadline = time.monotonic() + wait_seconds
    while not _scalar(conn, sql.SQL("SELECT pg_try_advisory_lock({})").format(ADVISORY_LOCK)):
        if time.monotonic() > deadline:
            raise SchemaError(f"another jobtide schema apply has been running for {wait_seconds:g} s: retry later")
        time.sleep(0.05)
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute(sql.SQL("SELECT pg_advisory_unlock({})").format(ADVISORY_LOCK))


def _refuse_contradictions(facts: Facts) -> None:
    if facts["in_recovery"]:
        raise SchemaError(f"the server of database {facts['database']} is a standby: apply on the primary")
    fatal = [problem.message for problem in shape_problems(facts) if problem.fatal]
    if fatal:
        raise SchemaError("nothing was changed. " + "; ".join(fatal))


def _retried(run: Callable[[], list[str]]) -> list[str]:
    for _ in range(ATTEMPTS - 1):
        try:
            return run()
        except COLLISIONS:
            continue
    return run()


def _apply_in_transaction(
    conn: Connection[Any], *, roles: bool, tenant_walls: bool, wake: bool, lock_timeout_seconds: float
) -> list[str]:
    """All that one transaction can create; also the indexes of a new table, since no query waits for them."""
    milliseconds = round(lock_timeout_seconds * 1000)
    new = read_facts(conn)["table"] is None
    done = []
    try:
        with conn.transaction():
            conn.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(milliseconds))
            if new:
                for name in TABLE_FILES:
                    conn.execute(statement(name))
                for name in INDEXES:
                    conn.execute(index_file(name, concurrently=False))
                done.append("created table job_queue with its indexes and policies")
            if tenant_walls:
                conn.execute(TENANT_WALLS)
                done.append("users of tenants may write the tenant, type, payload and due time of waiting jobs only")
            done += _add_always(conn, new=new)
            if wake:
                done += _add_wake(conn)
            if roles:
                conn.execute(statement(ROLES_FILE))
                done.append("jobtide_worker, jobtide_controller and jobtide_operator have the rights that they use")
    except errors.InsufficientPrivilege as error:
        raise SchemaError(_missing_right(conn, error, new=new, roles=roles)) from error
    except errors.LockNotAvailable as error:
        raise SchemaError(
            f"nothing was changed: could not get a lock within {lock_timeout_seconds:g} s, because another "
            f"transaction holds it ({_words(error)}). Retry, or use a longer --lock-timeout-seconds"
        ) from error
    return done


def _add_wake(conn: Connection[Any]) -> list[str]:
    before = _wake_found(conn)
    conn.execute(statement(WAKE_FILE))
    if _wake_found(conn) == before:
        return []
    verb = "renewed" if before else "created"
    return [f"{verb} trigger {WAKE_TRIGGER}: an INSERT wakes idle workers (--without-wake leaves it out)"]


def _add_always(conn: Connection[Any], *, new: bool) -> list[str]:
    had_limits = new or _has_limits(conn)
    for name in ALWAYS_FILES:
        conn.execute(statement(name))
    if had_limits:
        return []
    return ["created jobtide_pool_limits and jobtide_tenant_limits: limits of tenants change without new workers"]


def _has_limits(conn: Connection[Any]) -> bool:
    found = _scalar(
        conn,
        """SELECT count(*) = 2 FROM pg_class AS c
           WHERE c.relname IN ('jobtide_pool_limits', 'jobtide_tenant_limits')
             AND c.relnamespace = (SELECT q.relnamespace FROM pg_class AS q WHERE q.oid = to_regclass('job_queue'))""",
    )
    return bool(found)


def _wake_found(conn: Connection[Any]) -> Any:
    """What its trigger and function are now; None if there is no trigger."""
    return _scalar(
        conn,
        """SELECT pg_get_triggerdef(t.oid) || p.xmin FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
           WHERE t.tgrelid = to_regclass('job_queue') AND t.tgname = 'jobtide_wake'""",
    )


def _apply_indexes(conn: Connection[Any], report: Callable[[str], None]) -> list[str]:
    done = []
    for name in INDEXES:
        facts = read_facts(conn)
        table = facts["table"]
        index = table["indexes"].get(name)
        is_taken = name in facts["taken_names"] if index is None else index["valid"]
        if has_index(table, name) or is_taken:
            continue  # by another index, of this table or another one: reported with the way to free the name
        report(f"building index {name}: some seconds for each million rows; reads and writes continue")
        try:
            conn.execute(sql.SQL("SET lock_timeout = {}").format(round(INDEX_WAIT_SECONDS * 1000)))
            if index is not None:
                conn.execute(
                    sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(table["schema_name"], name))
                )
            conn.execute(index_file(name, concurrently=True))
        except errors.InsufficientPrivilege as error:
            raise SchemaError(
                f"{_role(conn)} may not create index {name} ({_words(error)}). "
                f"Have the table's owner run: {index_statement(name)}"
            ) from error
        except errors.LockNotAvailable as error:
            raise SchemaError(
                f"index {name} could not be built in {INDEX_WAIT_SECONDS:g} s, because an older transaction is still "
                "open (see pg_stat_activity, oldest xact_start). End it and run jobtide schema apply again"
            ) from error
        done.append(f"{'rebuilt invalid' if index is not None else 'created'} index {name}")
    return done


def _missing_right(conn: Connection[Any], error: psycopg.Error, *, new: bool, roles: bool) -> str:
    text = script(roles=roles) if new else statement(ROLES_FILE)
    return (
        f"nothing was changed: {_role(conn)} lacks a right ({_words(error)}). "
        f"Run this SQL as a role that has it (jobtide schema print{' --roles' if roles else ''}):\n{text}"
    )


def _role(conn: Connection[Any]) -> str:
    return f"role {_scalar(conn, 'SELECT current_user')}"


def _words(error: psycopg.Error) -> str:
    return error.diag.message_primary or type(error).__name__


def _scalar(conn: Connection[Any], query: psycopg.abc.QueryNoTemplate) -> Any:
    row = conn.execute(query).fetchone()
    return row[0] if row else None
