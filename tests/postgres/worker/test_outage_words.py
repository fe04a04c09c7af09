"""Each lasting cause of an outage is in the log, although the first error was another one."""

from __future__ import annotations

import json

import psycopg
import pytest
from psycopg import sql

from dev.postgres.server import Server


@pytest.fixture
def login(own_server, own_database):
    """The URL of a worker's login on a server of the test's own."""
    with psycopg.connect(own_database, autocommit=True) as admin:
        admin.execute("CREATE ROLE w LOGIN IN ROLE jobtide_worker")
        admin.execute("INSERT INTO tenants DEFAULT VALUES")
    return own_server.url("main", user="w")


@pytest.fixture
def running(worker, login, own_database, connect, wait_until):
    """A worker that has ended a job."""
    admin = connect(own_database)
    admin.execute("INSERT INTO job_queue (tenant_id, type) SELECT id, 'echo' FROM tenants")
    process = worker(JOBTIDE_DATABASE_URL=login)
    wait_until(lambda: admin.execute("SELECT status::text FROM job_queue").fetchone() == ("completed",))
    return process


def cut(url, *statements):
    """Runs the statements, then ends all connections of the worker."""
    with psycopg.connect(url, autocommit=True) as admin:
        for statement in statements:
            admin.execute(sql.SQL(statement))
        admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'w'")


def errors(process):
    lines = [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]
    return [(line["message"], line["error"]) for line in lines if line["level"] == "error" and "error" in line]


@pytest.mark.parametrize(
    ("broken", "state", "cause", "mended"),
    [
        pytest.param(
            "ALTER ROLE w NOLOGIN",
            "unreachable",
            'role "w" is not permitted to log in',
            "ALTER ROLE w LOGIN",
            id="NOLOGIN",
        ),
        pytest.param(
            "REVOKE CONNECT ON DATABASE main FROM PUBLIC",
            "unreachable",
            'permission denied for database "main"',
            "GRANT CONNECT ON DATABASE main TO PUBLIC",
            id="no CONNECT",
        ),
        pytest.param(
            "ALTER TABLE job_queue RENAME attempts TO tries",
            "unusable",
            "column public.job_queue.attempts is missing",
            "ALTER TABLE job_queue RENAME tries TO attempts",
            id="column renamed",
        ),
        pytest.param(
            "ALTER ROLE w SET default_transaction_read_only = on",
            "read-only",
            "the session is read-only: default_transaction_read_only is on",
            "ALTER ROLE w RESET default_transaction_read_only",
            id="read-only",
        ),
    ],
)
def test_the_lasting_cause_is_logged_after_the_first_error(
    running, own_server: Server, own_database, wait_until, broken, state, cause, mended
):
    cut(own_database, broken)
    wait_until(lambda: any(cause in error and f" {state}, can't claim" in words for words, error in errors(running)))
    cut(own_database, mended)
    wait_until(lambda: running.logged("database back, can claim again"))
    assert running.popen.poll() is None
    own_server.stop("immediate")  # a second outage begins with its own first error
    wait_until(lambda: any("refused" in error or "closed" in error for _, error in errors(running)[-1:]))


def test_a_server_that_asks_for_tls_later_is_named(running, own_server: Server, own_database, wait_until):
    hba = own_server.data / "pg_hba.conf"
    hba.write_text("local all all trust\nhostssl all w all trust\nhost all postgres all trust\n")
    cut(own_database, "SELECT pg_reload_conf()", "SELECT pg_sleep(0.2)")
    wait_until(lambda: any("no encryption" in error for _, error in errors(running)))
