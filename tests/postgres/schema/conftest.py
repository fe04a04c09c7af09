"""Users of tenants, their rights, and a database's schema as text to compare."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from dev.postgres.server import Server

CATALOGS = (
    "pg_class",
    "pg_attribute",
    "pg_attrdef",
    "pg_type",
    "pg_enum",
    "pg_constraint",
    "pg_index",
    "pg_proc",
    "pg_policy",
    "pg_namespace",
    "pg_depend",
    "pg_trigger",
    "pg_authid",
)


@dataclass(frozen=True, slots=True)
class People:
    """Two tenants with a job, a user each, and a super admin."""

    mine: UUID
    other: UUID
    my_job: UUID
    other_job: UUID
    my_user: UUID
    super_admin: UUID


@pytest.fixture
def people(database) -> People:
    return populate(database)


@pytest.fixture
def populated() -> Callable[[str], People]:
    """For a database other than the test's usual one."""
    return populate


@pytest.fixture
def schema_of(server: Server) -> Callable[[str], str]:
    """pg_dump's text of everything in a database but its rows; what apply must or must not change."""

    def dump(url: str) -> str:
        command: list[str | Path] = [server.bin / "pg_dump", "--schema-only", url]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        # \restrict contains a random word
        return "\n".join(line for line in text.splitlines() if not line.startswith(("\\", "--")))

    return dump


@pytest.fixture
def catalogs_of() -> Callable[[str], str]:
    """Every row version of the catalogs that DDL writes, hashed: faster than pg_dump, and roles are in it too."""
    parts = [f"SELECT format('{name} %s %s', ctid, xmin) AS version FROM {name}" for name in CATALOGS]
    fingerprint = f"SELECT md5(string_agg(version, ' ' ORDER BY version)) FROM ({' UNION ALL '.join(parts)}) AS v"

    def read(url: str) -> str:
        with psycopg.connect(url) as conn:
            return conn.execute(fingerprint).fetchone()[0]

    return read


@pytest.fixture
def psql(server: Server) -> Callable[..., str]:
    def run(url: str, script: str, *options: str) -> str:
        command: list[str | Path] = [server.bin / "psql", "-Xq", "-v", "ON_ERROR_STOP=1", *options, "-f", "-", url]
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def as_role(server: Server, names) -> Callable[[str, str], str]:
    """The URL of a database as a new login of this test's own, made by `CREATE ROLE name LOGIN <attributes>`."""
    made = []

    def login(url: str, attributes: str = "") -> str:
        name = f"{next(names)}_login"
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE {name} LOGIN {attributes}")
        made.append(name)
        return server.url(str(conninfo_to_dict(url)["dbname"]), user=name)

    return login


def populate(url: str) -> People:
    with psycopg.connect(url) as conn:
        mine, other = (_one(conn, "INSERT INTO tenants DEFAULT VALUES RETURNING id") for _ in range(2))
        insert_job = "INSERT INTO job_queue (tenant_id, type) VALUES (%s, 't') RETURNING id"
        insert_user = (
            "INSERT INTO users (id, tenant_id, is_super_admin) VALUES (gen_random_uuid(), %s, %s) RETURNING id"
        )
        return People(
            mine=mine,
            other=other,
            my_job=_one(conn, insert_job, mine),
            other_job=_one(conn, insert_job, other),
            my_user=_one(conn, insert_user, mine, False),
            super_admin=_one(conn, insert_user, other, True),
        )


def _one(conn: psycopg.Connection, query: str, *parameters: object) -> UUID:
    return conn.execute(query, parameters).fetchone()[0]
