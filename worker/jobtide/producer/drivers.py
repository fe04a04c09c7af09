"""Sends statements on the caller's connection, for each supported library, and never ends the caller's transaction.

A task is a generator: it yields statements, each with its one parameter, and receives their rows.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Generator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar

Row = Sequence[Any]
Result = TypeVar("Result")
Library = Literal["psycopg", "sqlalchemy", "django", "asyncpg"]

_SUPPORTED = "a connection of psycopg 3, SQLAlchemy (Connection or Session), Django or asyncpg"


class Statement(NamedTuple):
    """SQL with the placeholder %(asked)s, and its value: text, which every driver sends alike."""

    sql: str
    asked: str


Task = Generator[Statement, list[Row], Result]


def run(connection: Any, task: Task[Result], *, several: bool) -> Result:
    """Runs the task. With `several` statements, opens a transaction if the connection would commit each of them.

    Raises TypeError for an asynchronous connection or an unsupported library.
    """
    library = _library(connection)
    if _is_async(connection):
        raise TypeError(f"{_name(connection)} is asynchronous: await the function whose name ends in _async")
    execute = {"psycopg": _psycopg, "sqlalchemy": _sqlalchemy, "django": _django}[library]
    with _transaction(library, connection) if several else nullcontext():
        rows: list[Row] | None = None
        while True:
            try:
                statement = next(task) if rows is None else task.send(rows)
            except StopIteration as end:
                result: Result = end.value
                return result
            rows = execute(connection, statement)


async def run_async(connection: Any, task: Task[Result], *, several: bool) -> Result:
    """As `run`, on an asynchronous connection."""
    library = _library(connection)
    if not _is_async(connection):
        raise TypeError(f"{_name(connection)} is not asynchronous: call the function without _async")
    execute = {"psycopg": _psycopg_async, "sqlalchemy": _sqlalchemy_async, "asyncpg": _asyncpg}[library]
    async with _async_transaction(library, connection) if several else nullcontext():
        rows: list[Row] | None = None
        while True:
            try:
                statement = next(task) if rows is None else task.send(rows)
            except StopIteration as end:
                result: Result = end.value
                return result
            rows = await execute(connection, statement)


def psycopg_connection(connection: Any) -> Any:
    """The psycopg connection under `connection`. Raises TypeError if there is none, or it is asynchronous."""
    library = _library(connection)
    if library == "sqlalchemy":
        under = connection.connection() if callable(connection.connection) else connection
        connection = under.connection.driver_connection
    elif library == "django":
        connection.ensure_connection()
        connection = connection.connection
    if _library(connection) != "psycopg" or _is_async(connection):
        raise TypeError(f"{_name(connection)}: expected a synchronous connection over psycopg 3")
    return connection


def _library(connection: Any) -> Library:
    libraries: tuple[Library, ...] = ("psycopg", "sqlalchemy", "django", "asyncpg")
    for class_ in type(connection).__mro__:
        for library in libraries:
            if class_.__module__.partition(".")[0] == library:
                return library
    raise TypeError(f"{_name(connection)} can't be used: expected {_SUPPORTED}")


def _is_async(connection: Any) -> bool:
    return _library(connection) == "asyncpg" or inspect.iscoroutinefunction(getattr(connection, "execute", None))


def _name(connection: Any) -> str:
    return f"a {type(connection).__module__}.{type(connection).__qualname__}"


def _transaction(library: Library, connection: Any) -> AbstractContextManager[Any]:
    """A transaction if the connection commits each statement; else nothing, since the caller's is open."""
    if library == "psycopg" and connection.autocommit:
        return connection.transaction()  # type: ignore[no-any-return]
    if library == "django" and connection.get_autocommit():
        from django.db import transaction

        return transaction.atomic(using=connection.alias)  # type: ignore[no-any-return]
    return nullcontext()


def _async_transaction(library: Library, connection: Any) -> AbstractAsyncContextManager[Any]:
    if library == "psycopg" and connection.autocommit:
        return connection.transaction()  # type: ignore[no-any-return]
    if library == "asyncpg" and not connection.is_in_transaction():
        return connection.transaction()  # type: ignore[no-any-return]
    return nullcontext()


def _psycopg(connection: Any, statement: Statement) -> list[Row]:
    from psycopg.rows import tuple_row

    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(statement.sql, {"asked": statement.asked}).fetchall()  # type: ignore[no-any-return]


async def _psycopg_async(connection: Any, statement: Statement) -> list[Row]:
    from psycopg.rows import tuple_row

    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(statement.sql, {"asked": statement.asked})
        return await cursor.fetchall()  # type: ignore[no-any-return]


def _django(connection: Any, statement: Statement) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, {"asked": statement.asked})
        return cursor.fetchall()  # type: ignore[no-any-return]


def _sqlalchemy(connection: Any, statement: Statement) -> list[Row]:
    return list(connection.execute(_text(statement.sql), {"asked": statement.asked}))


async def _sqlalchemy_async(connection: Any, statement: Statement) -> list[Row]:
    return list(await connection.execute(_text(statement.sql), {"asked": statement.asked}))


async def _asyncpg(connection: Any, statement: Statement) -> list[Row]:
    return await connection.fetch(_placeholder("$1", statement.sql), statement.asked)  # type: ignore[no-any-return]


@cache
def _text(sql: str) -> Any:
    from sqlalchemy import text

    return text(_placeholder(":asked", sql))


def _placeholder(placeholder: str, sql: str) -> str:
    """Without comments: SQLAlchemy's `text` would read a colon in them as a parameter."""
    return re.sub(r"--[^\n]*", "", sql).replace("%(asked)s", placeholder)
