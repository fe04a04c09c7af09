"""The statements and the commands of the runbooks run, and their results have the columns that the pages show."""

from __future__ import annotations

import pytest

from jobtide.__main__ import main
from tests.pages import inline_commands
from tests.runbooks import PAGES, name_of, shell_commands, statements

JOB = "7d8a1f6e-3c21-4c0e-9b64-1f2a3b4c5d6e"
COMMANDS = [*shell_commands("jobtide"), *(one.split() for page in PAGES for one in inline_commands(page, "jobtide"))]


@pytest.mark.parametrize(
    ("text", "heading"), [pytest.param(text, heading, id=name_of(page)) for page, text, heading in statements()]
)
def test_a_statement_has_the_columns_that_the_page_shows(connect, text, heading):
    shown = connect().execute(text).description
    assert [column.name for column in shown] == [word.strip() for word in heading.split("|")]


def test_the_commands_of_jobtide_run(connect, database, tenant, monkeypatch):
    connect().execute("INSERT INTO job_queue (id, tenant_id, type) VALUES (%s, %s, 'thumbs')", [JOB, tenant()])
    monkeypatch.setenv("JOBTIDE_DATABASE_URL", database)
    assert COMMANDS
    for words in COMMANDS:
        assert main([JOB if word == "ID" else word for word in words[1:]]) == 0, words
