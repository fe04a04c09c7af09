"""docs/supabase.md is true on a server with the roles of Supabase: its owner is no superuser. Poolers in both modes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from dev.machine.wait import wait_until
from dev.postgres.pgbouncer import PgBouncer
from dev.postgres.server import Server
from jobtide.queue.session import Session
from tests.pages import SUPABASE, shown

HANDLERS = Path(__file__).parents[1] / "worker" / "handlers"
OWNER = "app_owner"  # `postgres` on Supabase, where another role is the superuser

# What a new project has, as its superuser makes it; roles, grants and default privileges are Supabase's.
PROJECT = f"""
CREATE ROLE {OWNER} LOGIN NOSUPERUSER CREATEROLE CREATEDB BYPASSRLS;
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT;
CREATE ROLE auth_admin NOLOGIN NOINHERIT CREATEROLE;
GRANT anon, authenticated, service_role TO authenticator;
GRANT anon, authenticated, service_role TO {OWNER} WITH ADMIN OPTION;
"""
SCHEMAS = f"""
CREATE SCHEMA auth AUTHORIZATION auth_admin;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text);
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
ALTER TABLE auth.users OWNER TO auth_admin;
ALTER FUNCTION auth.uid() OWNER TO auth_admin;
ALTER FUNCTION auth.jwt() OWNER TO auth_admin;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, {OWNER};
GRANT ALL ON auth.users TO {OWNER};
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A database made as the page says, with a user of each of two tenants."""

    server: Server
    tenant: UUID
    user: UUID
    other_tenant: UUID

    def url(self, user: str) -> str:
        return self.server.url("app", user=user)


@pytest.fixture(scope="module")
def project(server: Server) -> Iterator[Project]:
    """On a server of its own: roles belong to a server, and those of the others were made by a superuser."""
    with Server(version=server.version) as own:
        with psycopg.connect(own.dsn, autocommit=True) as admin:
            admin.execute(PROJECT)
            admin.execute(f"CREATE DATABASE app OWNER {OWNER}")
        with psycopg.connect(own.url("app"), autocommit=True) as admin:
            admin.execute(SCHEMAS)
        with psycopg.connect(own.url("app", user=OWNER), autocommit=True) as owner:
            owner.execute(shown(SUPABASE, "tenants and users"))
            _apply(own)
            owner.execute(shown(SUPABASE, "logins").replace("'...'", "'secret'"))
            mine, other = (
                owner.execute("INSERT INTO tenants (name) VALUES (%s) RETURNING id", [name]).fetchone()[0]
                for name in ("acme", "globex")
            )
            users = [_user(owner, tenant) for tenant in (mine, other)]
        yield Project(own, mine, users[0], other)


def _apply(own: Server) -> None:
    """The page's commands, through a pooler in session mode, which the page allows; a direct connection allows more."""
    with PgBouncer(server=own, mode="session", user=OWNER) as pooler:
        block = re.sub(r"'postgresql://[^']*'", pooler.url("app"), shown(SUPABASE, "make the table"))
        script = f'jobtide() {{ {sys.executable} -m jobtide "$@"; }}\n{block}'
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "created table job_queue" in done.stdout


def _user(owner: psycopg.Connection[Any], tenant: UUID) -> UUID:
    (user,) = owner.execute("INSERT INTO auth.users VALUES (gen_random_uuid()) RETURNING id").fetchone()
    owner.execute("INSERT INTO users (id, tenant_id) VALUES (%s, %s)", [user, tenant])
    return user


@pytest.fixture
def request_of(project: Project) -> Callable[..., Any]:
    """A transaction as PostgREST opens it: its own login, then the role and the claims of the request."""

    @contextmanager
    def begin(role: str, user: UUID | None = None) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(project.url("authenticator")) as connection:
            claims = json.dumps({"role": role, **({} if user is None else {"sub": str(user)})})
            connection.execute(
                "SELECT set_config('role', %s, true), set_config('request.jwt.claims', %s, true)", [role, claims]
            )
            yield connection

    return begin


def insert(connection: psycopg.Connection[Any], **values: Any) -> UUID:
    """What PostgREST makes of the page's call: exactly its columns, and those that `select` names returned."""
    block = shown(SUPABASE, "insert of a user")
    assert '.from("job_queue")' in block
    (given,) = re.findall(r"\.insert\(\{ (.*) \}\)", block)
    columns = re.findall(r"(\w+): ", re.sub(r"\{.*?\}", "{}", given))
    assert columns == list(values)
    (returned,) = re.findall(r'\.select\("(\w+)"\)', block)
    names = ", ".join(columns)
    given_row = "json_populate_record(NULL::job_queue, %s)"
    row = connection.execute(
        f"INSERT INTO job_queue ({names}) SELECT {names} FROM {given_row} RETURNING {returned}",
        [json.dumps(values, default=str)],
    ).fetchone()
    assert row is not None
    return row[0]


def test_a_user_enqueues_for_the_own_tenant_and_reads_the_result(project, request_of):
    with request_of("authenticated", project.user) as connection:
        id_ = insert(connection, tenant_id=project.tenant, type="thumbs", payload={"url": "a.png"})
        found = connection.execute("SELECT status::text, result FROM job_queue WHERE id = %s", [id_]).fetchone()
        assert found == ("pending", {})


@pytest.mark.parametrize("role", ["another tenant", "anon"])
def test_no_one_enqueues_for_another_tenant(project, request_of, role):
    tenant = project.other_tenant if role == "another tenant" else project.tenant
    who = ("anon", None) if role == "anon" else ("authenticated", project.user)
    with request_of(*who) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        insert(connection, tenant_id=tenant, type="thumbs", payload={})


def test_a_user_changes_no_tenant_and_reads_none_of_the_limits(project, request_of):
    for statement in (
        "UPDATE users SET tenant_id = gen_random_uuid()",
        "INSERT INTO tenants (name) VALUES ('mine')",
        "SELECT FROM jobtide_tenant_limits",
        "UPDATE job_queue SET status = 'completed'",
    ):
        with (
            request_of("authenticated", project.user) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)


@pytest.fixture
def owner(project: Project) -> Iterator[psycopg.Connection[Any]]:
    """What it makes is rolled back."""
    with psycopg.connect(project.url(OWNER)) as connection:
        yield connection
        connection.rollback()


def as_user(connection: psycopg.Connection[Any], role: str, user: UUID) -> None:
    connection.execute(
        "SELECT set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
        [role, json.dumps({"sub": str(user)})],
    )


def test_the_function_knows_the_tenant_of_the_user_and_anon_may_not_call_it(project, owner):
    owner.execute(shown(SUPABASE, "function to enqueue"))
    as_user(owner, "authenticated", project.user)
    (id_,) = owner.execute("SELECT enqueue_thumb('a.png')").fetchone()
    found = owner.execute("SELECT tenant_id, type, payload FROM job_queue WHERE id = %s", [id_]).fetchone()
    assert found == (project.tenant, "thumbs", {"url": "a.png"})
    as_user(owner, "anon", project.user)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        owner.execute("SELECT enqueue_thumb('a.png')")


def test_other_types_are_refused_where_the_policy_is(project, owner):
    owner.execute(shown(SUPABASE, "types that users may insert"))
    as_user(owner, "authenticated", project.user)
    insert(owner, tenant_id=project.tenant, type="thumbs", payload={})
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only_these_types"):
        insert(owner, tenant_id=project.tenant, type="reports", payload={})


def test_the_statement_of_the_schedule_adds_a_job_for_each_tenant(owner):
    (statement,) = re.findall(r"\$\$(.*?)\$\$", shown(SUPABASE, "schedule of pg_cron"), re.DOTALL)
    assert owner.execute(statement).rowcount == 2


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_worker_and_controller_work_through_a_pooler_with_the_logins_of_the_page(project, request_of, mode, tmp_path):
    with request_of("authenticated", project.user) as connection:
        id_ = insert(connection, tenant_id=project.tenant, type="echo", payload=7)
    with PgBouncer(server=project.server, mode=mode, user="acme_controller") as pooler:
        check = [sys.executable, "-m", "jobtide", "schema", "check", "--part", "controller"]
        done = subprocess.run(
            [*check, "--database-url", pooler.url("app")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    with PgBouncer(server=project.server, mode=mode, user="acme_worker") as pooler:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")}
        worker = subprocess.Popen(
            [sys.executable, "-m", "jobtide", "worker", "jobs:tide"], cwd=HANDLERS, stderr=subprocess.DEVNULL,
            env=clean | {"JOBTIDE_DATABASE_URL": pooler.url("app"), "JOBTIDE_HTTP_PORT": "0"},
        )  # fmt: skip
        try:
            with psycopg.connect(project.url(OWNER), autocommit=True) as owner:
                status = "SELECT status::text, result FROM job_queue WHERE id = %s"
                wait_until(
                    "the job", lambda: owner.execute(status, [id_]).fetchone() == ("completed", 7), within_seconds=90
                )
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        finally:
            worker.kill()
            worker.wait()
        session = Session(lambda: pooler.url("app"))
        assert session.connection().prepare_threshold is None  # it knows of the pooler, in either mode: it polls
        session.close()
