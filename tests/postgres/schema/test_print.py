"""`jobtide schema print` is what apply does, as text that psql runs."""

from __future__ import annotations

import pytest

from jobtide.schema import apply, script

FORMS = [
    pytest.param({}, (), id="psql"),
    pytest.param({"in_transaction": True}, ("--single-transaction",), id="migration tool"),
]


@pytest.mark.parametrize(("form", "options"), FORMS)
@pytest.mark.parametrize("roles", [pytest.param(False, id="table"), pytest.param(True, id="with roles")])
def test_the_printed_sql_makes_what_apply_makes(
    empty_database, second_empty_database, psql, schema_of, form, options, roles
):
    psql(empty_database, script(roles=roles, **form), *options)
    apply(second_empty_database, roles=roles)
    assert schema_of(empty_database) == schema_of(second_empty_database)


@pytest.mark.parametrize(("form", "options"), FORMS)
def test_running_it_again_changes_nothing(database, psql, schema_of, form, options):
    before = schema_of(database)
    psql(database, script(roles=True, **form), *options)
    assert schema_of(database) == before


@pytest.mark.parametrize(("form", "options"), FORMS)
def test_it_rebuilds_the_invalid_remains_of_an_interrupted_build(database, connect, psql, form, options):
    conn = connect()
    # What an interrupted CREATE INDEX CONCURRENTLY leaves; how it comes about is test_apply's matter.
    conn.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_job_queue_due'::regclass")
    psql(database, script(**form), *options)
    valid = conn.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_job_queue_due'::regclass")
    assert valid.fetchone() == (True,)


def test_the_form_for_migration_tools_has_nothing_that_a_transaction_refuses():
    text = script(in_transaction=True, roles=True)
    commands = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    assert not any("CONCURRENTLY" in line or line.startswith(("BEGIN;", "COMMIT", "\\")) for line in commands)


def test_every_part_says_what_it_does_and_which_lock_it_takes():
    parts = script(roles=True).split("-- What: ")[1:]
    assert len(parts) == 4 + 3 + 1 + 5 * 2 + 1
    assert all("-- Lock: " in part for part in parts if "DROP INDEX" not in part)
