"""The commands as users run them: reports on stdout, errors on stderr, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jobtide.__main__ import main
from jobtide.schema import script


@pytest.fixture
def jobtide():
    """jobtide("schema", ..., VARIABLE=value): the finished process."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("JOBTIDE", "PG"))}
        return subprocess.run(
            [sys.executable, "-m", "jobtide", *arguments],
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_check_apply_check_on_a_new_database(jobtide, empty_database, tmp_path):
    before = jobtide("schema", "check", JOBTIDE_DATABASE_URL=empty_database)
    assert (before.returncode, before.stdout[:20]) == (1, "error: TableMissing:")
    applied = jobtide("schema", "apply", "--roles", "--database-url", empty_database)
    assert (applied.returncode, applied.stderr) == (0, "")
    assert applied.stdout.startswith("created table job_queue")
    file = tmp_path / "url"
    file.write_text(empty_database + "\n")
    after = jobtide("schema", "check", "--part", "controller", JOBTIDE_DATABASE_URL_FILE=str(file))
    assert (after.returncode, after.stdout) == (0, "ok\n")
    again = jobtide("schema", "apply", "--database-url", empty_database)
    assert again.stdout == "nothing to do: job_queue is complete\n"


def test_a_warning_leaves_the_exit_code_at_zero(jobtide, database, connect):
    connect().execute("DROP INDEX idx_job_queue_type")
    checked = jobtide("schema", "check", "--database-url", database)
    assert checked.returncode == 0
    assert checked.stdout.startswith("warning: IndexMissing: index idx_job_queue_type is missing")


def test_print_needs_no_database(jobtide):
    printed = jobtide("schema", "print", "--roles")
    assert (printed.returncode, printed.stdout) == (0, script(roles=True) + "\n")


def test_the_printed_view_of_limits_works_and_check_reads_it_as_the_controller_does(jobtide, database, connect):
    admin = connect()
    admin.execute("ALTER TABLE tenants ADD plan text, ADD suspended_at timestamptz")
    admin.execute("INSERT INTO tenants (plan) VALUES ('free'), ('team'), ('other')")
    admin.execute(jobtide("schema", "print", "--limits-view").stdout)
    limits = admin.execute("SELECT max_concurrent, weight FROM job_tenant_limits ORDER BY 1").fetchall()
    assert limits == [(2, None), (16, 3)]

    def check(part="controller"):
        checked = jobtide("schema", "check", "--catalogs-only", "--part", part, "--database-url", database)
        assert checked.returncode == 0
        return checked.stdout

    assert check() == "ok\n"
    admin.execute("DROP VIEW job_tenant_limits; CREATE VIEW job_tenant_limits AS SELECT id AS tenant_id FROM tenants")
    assert check().startswith("warning: LimitsViewUnusable: view job_tenant_limits: ")
    assert check("worker") == "ok\n"
    admin.execute("DROP TABLE jobtide_pool_limits")
    assert check().startswith(
        "warning: LimitsNotStored: tables jobtide_pool_limits and jobtide_tenant_limits are missing"
    )


def test_a_contradiction_ends_with_one_and_a_sentence(jobtide, database, connect):
    connect().execute("ALTER TABLE job_queue DROP COLUMN worker_id CASCADE")
    applied = jobtide("schema", "apply", "--database-url", database)
    assert (applied.returncode, applied.stdout) == (1, "")
    assert applied.stderr.startswith("jobtide: nothing was changed. column public.job_queue.worker_id is missing")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("", "no database: pass --database-url", id="none"),
        pytest.param("s3cret", "--database-url is no PostgreSQL URL", id="no URL"),
        pytest.param("postgresql://u:s3cret@127.0.0.1:1/db", "Connection refused", id="no server"),
        pytest.param("postgresql://u:s3cret@127.0.0.1:x/db", "its port is no number", id="port"),
    ],
)
@pytest.mark.parametrize("command", ["apply", "check"])
def test_the_error_of_an_unreachable_database_is_one_sentence_without_the_password(
    monkeypatch, capsys, command, url, words
):
    for variable in ("JOBTIDE_DATABASE_URL", "JOBTIDE_DATABASE_URL_FILE"):
        monkeypatch.delenv(variable, raising=False)
    assert main(["schema", command, "--database-url", url]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("jobtide: ")
    assert words in printed.err
    assert "s3cret" not in printed.err


def test_a_url_file_that_is_not_there_is_named(jobtide, tmp_path):
    done = jobtide("schema", "check", JOBTIDE_DATABASE_URL_FILE=str(tmp_path / "url"))
    assert done.returncode == 1
    assert f"JOBTIDE_DATABASE_URL_FILE={tmp_path / 'url'} can't be read: No such file" in done.stderr
