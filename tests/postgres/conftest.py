"""Every test here runs on PostgreSQL 15 and 18, but on 18 alone where its module is marked `any_version`.

Each has a database of its own with the schema applied.

server        the session's Server (fast, shared: don't stop it, roles are visible to every test)
database      URL of a fresh database, superuser, cloned from a template with `jobtide schema apply --roles`
empty_database, second_empty_database   URLs of databases with nothing in them
connect       connect(url=database, role=..., claims=..., autocommit=True) -> psycopg connection, closed for you
tenant        tenant(name="") -> the new tenant's UUID
own_server    a Server of the test's own, to stop, kill or demote; own_database is a URL on it
wait_until    wait_until(condition): returns its first true value, fails at the deadline
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from dev.machine.wait import first_true
from dev.postgres.server import VERSIONS, Server
from jobtide.schema import apply

TEMPLATE = "jobtide_template"
HERE = Path(__file__).parent
PATIENCE_SECONDS = 90.0  # far longer than anything takes: machines that run tests stand still at times

Found = TypeVar("Found")


class Connect(Protocol):
    def __call__(
        self,
        url: str | None = None,
        *,
        role: str | None = None,
        claims: Mapping[str, Any] | None = None,
        autocommit: bool = True,
    ) -> psycopg.Connection[Any]: ...


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Modules marked `any_version` test processes, whose statements other modules run on every version."""
    once: list[pytest.Item] = []
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.postgres)
            if item.get_closest_marker("any_version") and _version_of(item) in VERSIONS[:-1]:
                once.append(item)
    if once:
        config.hook.pytest_deselected(items=once)
        items[:] = [item for item in items if item not in once]


def _version_of(item: pytest.Item) -> object:
    return (
        item.callspec.params.get("server") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    )


@pytest.fixture(scope="session", params=VERSIONS, ids=lambda version: f"pg{version}")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(version=request.param) as running:
        _create_database(running, TEMPLATE)
        apply(running.url(TEMPLATE), roles=True)
        yield running


@pytest.fixture(scope="session")
def names() -> Iterator[str]:
    return (f"test_{number}" for number in itertools.count(1))


@pytest.fixture
def empty_database(server: Server, names: Iterator[str]) -> Iterator[str]:
    """URL of a database with nothing in it; the server has the roles already."""
    with _temporary_database(server, next(names), template="template0") as url:
        yield url


@pytest.fixture
def second_empty_database(server: Server, names: Iterator[str]) -> Iterator[str]:
    """A second empty one, to compare with."""
    with _temporary_database(server, next(names), template="template0") as url:
        yield url


@pytest.fixture
def database(server: Server, names: Iterator[str]) -> Iterator[str]:
    with _temporary_database(server, next(names), template=TEMPLATE) as url:
        yield url


@pytest.fixture
def own_server(server: Server) -> Iterator[Server]:
    with Server(version=server.version) as running:
        yield running


@pytest.fixture
def own_database(own_server: Server) -> str:
    _create_database(own_server, "main")
    apply(own_server.url("main"), roles=True)
    return own_server.url("main")


MOST_CONNECTIONS = 50
"""A test's own; a condition that connects at each look takes all that the server has on a slow machine."""


@pytest.fixture
def connect(database: str) -> Iterator[Connect]:
    kept: list[psycopg.Connection[Any]] = []
    with ExitStack() as opened:

        def opener(
            url: str | None = None,
            *,
            role: str | None = None,
            claims: Mapping[str, Any] | None = None,
            autocommit: bool = True,
        ) -> psycopg.Connection[Any]:
            conn = psycopg.connect(url or database, autocommit=True)
            kept[:] = [one for one in (*kept, conn) if not one.closed]
            assert len(kept) <= MOST_CONNECTIONS, "connect once, outside the condition that a test waits for"
            opened.callback(conn.close)
            if claims is not None:
                conn.execute("SELECT set_config('request.jwt.claims', %s, false)", [json.dumps(claims)])
            if role is not None:
                conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            conn.autocommit = autocommit
            return conn

        yield opener


@pytest.fixture
def tenant(connect: Connect) -> Callable[..., UUID]:
    def new(name: str = "", url: str | None = None) -> UUID:
        with connect(url) as conn:
            row = conn.execute("INSERT INTO tenants (name) VALUES (%s) RETURNING id", [name]).fetchone()
        assert row is not None
        found: UUID = row[0]
        return found

    return new


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    def wait(condition: Callable[[], Found]) -> Found:
        found = first_true(condition, within_seconds=PATIENCE_SECONDS, poll_seconds=0.01)
        if not found:
            pytest.fail(f"not within {PATIENCE_SECONDS:g} s; last answer: {found!r}")
        return found

    return wait


def _create_database(server: Server, name: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))


@contextmanager
def _temporary_database(server: Server, name: str, *, template: str) -> Iterator[str]:
    # file_copy is five times faster than the default on 18
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield server.url(name)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
