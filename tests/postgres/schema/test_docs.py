"""docs/schema.md is true: its kinds of problems, its commands and its SQL."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from jobtide.__main__ import main
from jobtide.schema import ProblemKind
from tests.pages import SCHEMA, shown

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "schema.md").read_text()


def test_every_kind_of_problem_is_explained_once():
    table = PAGE.partition("## What check finds")[2]
    assert sorted(re.findall(r"^\| (\w+) \| (?:yes|no)", table, re.MULTILINE)) == sorted(ProblemKind)


@pytest.mark.parametrize("command", ["apply", "print", "check"])
def test_every_option_of_a_command_is_on_the_page(command, capsys):
    with pytest.raises(SystemExit):
        main(["schema", command, "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert options
    assert options <= set(re.findall(r"--[a-z-]+", PAGE))


def test_every_option_of_the_way_back_is_on_the_page_of_adoption(capsys):
    with pytest.raises(SystemExit):
        main(["jobs", "requeue-foreign", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--database-url"}
    assert options
    assert options <= set(re.findall(r"--[a-z-]+", (DOCS / "adoption.md").read_text()))


def test_the_sql_of_the_page_shows_a_user_the_jobs_of_the_own_tenant(connect, database, people, names):
    claims = shown(SCHEMA, "claims of a user")
    admin = connect(autocommit=False)
    admin.execute("ALTER TABLE users ADD display_name text, ADD avatar_url text")
    admin.execute(shown(SCHEMA, "logins"))
    admin.execute(shown(SCHEMA, "columns of users"))
    admin.execute(claims.replace("<users.id>", str(people.my_user)))
    assert admin.execute("SELECT id FROM job_queue").fetchall() == [(people.my_job,)]
    admin.execute("UPDATE users SET display_name = 'me'")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        admin.execute("UPDATE users SET is_super_admin = true")
    admin.rollback()
