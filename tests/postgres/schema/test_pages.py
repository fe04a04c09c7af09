"""The pages make the table, its logins and a first job on a new database, as they are shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import psycopg
import pytest
from psycopg import conninfo

from jobtide_controller.simulate.command import main as simulate
from tests.pages import (
    BLOCKS,
    FIRST_POOL,
    INSTALL,
    JOBS,
    PAGE,
    QUICKSTART,
    SIMULATE,
    commands,
    inline_commands,
    shown,
)


@pytest.fixture
def shell(tmp_path):
    """Runs a block in a shell that finds the program `jobtide` of this environment, and a pip that installs nothing."""
    for name, line in (("jobtide", f'exec {sys.executable} -m jobtide "$@"'), ("pip", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOBTIDE", "PG"))}
    environment = {**clean, "PATH": f"{tmp_path}:{clean['PATH']}"}

    def run(text: str, **more: str) -> str:
        script = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(script, env=environment | more, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def followed(shell, empty_database):
    """followed(page, ...): the URL of a database made as the page says; its logins are removed at the end."""
    made: list[str] = []

    def follow(page: str, table: str, logins: str) -> str:
        url = re.sub(r"postgresql://owner:[^']*", empty_database, table)
        assert url != table
        assert "created table job_queue" in shell(url)
        made.extend(re.findall(r"CREATE ROLE (\w+)", logins))
        with psycopg.connect(empty_database, autocommit=True) as admin:
            admin.execute(logins.replace("'...'", "'secret'"))
        return empty_database

    yield follow
    with psycopg.connect(empty_database, autocommit=True) as admin:
        for name in made:
            admin.execute(f"DROP ROLE {name}")


PAGES = [
    pytest.param(QUICKSTART, shown(QUICKSTART, "make the table"), shown(QUICKSTART, "logins"), id="quickstart"),
    pytest.param(INSTALL, shown(INSTALL, "make the table"), shown(INSTALL, "logins"), id="install"),
]


@pytest.mark.parametrize(("page", "table", "logins"), PAGES)
def test_the_logins_of_the_page_can_do_their_work_and_the_first_job_is_there(page, table, logins, followed):
    url = followed(page, table, logins)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(shown(QUICKSTART, "first job"))
        (kept,) = owner.execute("SELECT type, payload, status::text FROM job_queue").fetchall()
    assert kept == ("thumbs", {"image": "a.png"}, "pending")
    for login, part in (("acme_controller", "controller"), ("acme_worker", "worker")):
        own = conninfo.make_conninfo(url, user=login, password="secret")
        with psycopg.connect(own) as connection:
            found = connection.execute(
                "SELECT session_user, count(id), has_column_privilege('job_queue', 'payload', 'SELECT') FROM job_queue"
            ).fetchone()
            assert found == (login, 1, part == "worker")  # the controller can't read payloads
        checked = subprocess.run(
            [sys.executable, "-m", "jobtide", "schema", "check", "--part", part, "--database-url", own],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_test_of_an_installation_gets_a_tenant_of_its_own(shell, empty_database):
    shell("jobtide schema apply --roles", JOBTIDE_DATABASE_URL=empty_database)
    with psycopg.connect(empty_database) as owner:
        (made,) = owner.execute(shown(INSTALL, "tenant of the test")).fetchone()
        assert owner.execute("SELECT id FROM tenants").fetchall() == [(made,)]


@pytest.mark.parametrize("page", [QUICKSTART, INSTALL])
def test_the_secrets_of_a_page_have_the_logins_that_it_makes(page):
    made = set(re.findall(r"CREATE ROLE (\w+)", shown(page, "logins")))
    shells = [shown(page, block.name) for block in BLOCKS[page] if block.language == "sh"]
    words = [word for text in shells for command in commands(text) if command[0] == "kubectl" for word in command]
    used = {match[1] for word in words if (match := re.match(r"url=postgresql://(\w+):", word))}
    assert used == made


def test_the_commands_of_jobtide_inside_the_text_run(shell, empty_database):
    named = {command for page in BLOCKS for command in inline_commands(page, "jobtide")}
    once = sorted(command for command in named if " dev " not in command)
    of_schema = [command for command in once if command.startswith("jobtide schema ")]
    assert of_schema
    for command in of_schema:
        shell(command, JOBTIDE_DATABASE_URL=empty_database)
    with psycopg.connect(empty_database) as owner:
        (tenant,) = owner.execute("INSERT INTO tenants DEFAULT VALUES RETURNING id").fetchone()
        (job,) = owner.execute(
            "INSERT INTO job_queue (tenant_id, type) VALUES (%s, 'thumbs') RETURNING id", [tenant]
        ).fetchone()
    for command in set(once) - {*of_schema}:
        shell(re.sub(r"\bID\b", str(job), command), JOBTIDE_DATABASE_URL=empty_database)
    assert shell("jobtide schema check", JOBTIDE_DATABASE_URL=empty_database) == "ok\n"


@pytest.mark.parametrize("block", [shown(JOBS, "login"), shown(PAGE, "login")], ids=["jobs", "page"])
def test_the_login_of_an_operator_reads_and_changes_jobs(connect, block):
    admin = connect(autocommit=False)
    admin.execute(block)
    (login,) = re.findall(r"CREATE ROLE (\w+)", block)
    admin.execute(f"SET LOCAL ROLE {login}")
    assert admin.execute("UPDATE job_queue SET status = 'pending' RETURNING id").fetchall() == []
    admin.rollback()  # and the role with it


def test_the_rows_of_the_example_are_jobs_whose_results_its_query_shows(connect):
    add_tenant, add_jobs = shown(FIRST_POOL, "jobs").split("\n\n")
    admin = connect()
    (tenant,) = admin.execute(add_tenant).fetchone()
    admin.execute(add_jobs.replace("<that id>", str(tenant)))
    found = admin.execute(shown(FIRST_POOL, "results")).fetchall()
    assert sorted(row[:3] for row in found) == [
        ("archive.compress", "pending", 0),
        ("doc.index", "pending", 0),
        ("doc.index", "pending", 0),
    ]


def test_past_jobs_as_the_page_exports_them_can_be_simulated(connect, tenant, tmp_path, capsys):
    (words,) = commands(shown(SIMULATE, "past jobs as a file"))
    assert (words[:3], words[4:]) == (["psql", "--csv", "-c"], [">", "jobs.csv"])
    connection = connect()
    connection.execute("INSERT INTO job_queue (tenant_id, type) SELECT %s, 't' FROM generate_series(1, 3)", [tenant()])
    with connection.cursor().copy(f"COPY ({words[3]}) TO STDOUT (FORMAT csv, HEADER)") as copied:
        (tmp_path / "jobs.csv").write_bytes(b"".join(bytes(part) for part in copied))
    assert simulate(["--csv", str(tmp_path / "jobs.csv")]) == 0
    assert "3 jobs" in capsys.readouterr().out
