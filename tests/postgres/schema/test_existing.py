"""An existing job_queue: checked first, each contradiction named, never altered."""

from __future__ import annotations

import re

import psycopg
import pytest

from jobtide.schema import ProblemKind, SchemaError, apply, check

ENUM = "CREATE TYPE job_status AS ENUM ('pending', 'processing', 'completed', 'failed');"

# As a user's own migration of the seed would make it, with extra columns and an extra index.
COLUMNS = {
    "id": "uuid PRIMARY KEY DEFAULT gen_random_uuid()",
    "tenant_id": "uuid",
    "type": "text",
    "status": "job_status DEFAULT 'pending'",
    "payload": "jsonb",
    "result": "jsonb",
    "worker_id": "text",
    "attempts": "integer DEFAULT 0",
    "next_retry_at": "timestamptz",
    "created_at": "timestamptz DEFAULT now()",
    "completed_at": "timestamptz",
    "priority": "integer NOT NULL DEFAULT 5",
}


def table(**changes: str | None) -> str:
    columns = {name: text for name, text in (COLUMNS | changes).items() if text is not None}
    return ENUM + f"CREATE TABLE job_queue ({', '.join(f'{name} {text}' for name, text in columns.items())});"


WRONG = [
    *[
        pytest.param(table(**{name: None}), f"column public.job_queue.{name} is missing", id=f"no {name}")
        for name in COLUMNS
        if name != "priority"
    ],
    pytest.param(table(id="bigint PRIMARY KEY"), "job_queue.id is bigint, expected uuid", id="id bigint"),
    pytest.param(table(id="uuid"), "job_queue.id is not unique", id="id not unique"),
    pytest.param(table(tenant_id="text"), "job_queue.tenant_id is text, expected uuid", id="tenant_id text"),
    pytest.param(table(type="varchar(40)"), r"job_queue.type is character varying\(40\)", id="type varchar"),
    pytest.param(table(status="text"), "job_queue.status is text, expected the enum", id="status text"),
    pytest.param(table(payload="json"), "job_queue.payload is json, expected jsonb", id="payload json"),
    pytest.param(table(result="text"), "job_queue.result is text, expected jsonb", id="result text"),
    pytest.param(table(worker_id="uuid"), "job_queue.worker_id is uuid, expected text", id="worker_id uuid"),
    pytest.param(table(attempts="smallint"), "job_queue.attempts is smallint, expected integer", id="attempts"),
    *[
        pytest.param(table(**{name: "timestamp"}), f"{name} is timestamp without time zone", id=f"{name} no zone")
        for name in ("next_retry_at", "created_at", "completed_at")
    ],
    pytest.param(
        table().replace(", 'failed'", ""),
        "enum job_status has no failed .*ADD VALUE 'failed'",
        id="enum without failed",
    ),
    pytest.param(
        "CREATE TYPE job_status AS ENUM ('queued', 'done')",
        "enum job_status has no pending, processing, completed, failed",
        id="another app's enum",
    ),
    pytest.param("CREATE DOMAIN job_status AS text", "type job_status exists and is no enum", id="type is a domain"),
    pytest.param("CREATE VIEW job_queue AS SELECT 1 AS id", "job_queue is no plain table", id="a view"),
    pytest.param(
        ENUM + "CREATE TABLE job_queue (id uuid, tenant_id uuid) PARTITION BY HASH (id)",
        "job_queue is no plain table",
        id="partitioned",
    ),
    pytest.param(
        "CREATE TABLE tenants (id bigint PRIMARY KEY)", "tenants.id is bigint, and .* need uuid", id="tenants.id bigint"
    ),
    pytest.param("CREATE TABLE users (id uuid)", "column users.tenant_id is missing", id="users without tenant_id"),
    pytest.param("CREATE TABLE users (id text, tenant_id uuid)", "column users.id is text", id="users.id text"),
]


@pytest.mark.parametrize(("ddl", "words"), WRONG)
def test_a_contradiction_is_named_and_nothing_is_changed(empty_database, connect, catalogs_of, ddl, words):
    connect(empty_database).execute(ddl)
    before = catalogs_of(empty_database)
    with pytest.raises(SchemaError, match=words) as refused:
        apply(empty_database, roles=True)
    assert str(refused.value).startswith("nothing was changed. ")
    assert catalogs_of(empty_database) == before


@pytest.mark.parametrize(("ddl", "words"), [case for case in WRONG if "job_queue (" in case.values[0]])
def test_check_names_the_same_contradiction_and_calls_it_fatal(empty_database, connect, ddl, words):
    conn = connect(empty_database)
    conn.execute(ddl)
    fatal = [problem for problem in check(conn) if problem.fatal]
    assert {problem.kind for problem in fatal} <= {ProblemKind.COLUMN_WRONG, ProblemKind.ENUM_MISMATCH}
    assert any(re.search(words, problem.message) for problem in fatal)


def test_several_contradictions_are_named_at_once(empty_database, connect):
    connect(empty_database).execute(table(worker_id=None, payload="json"))
    with pytest.raises(SchemaError, match=r"payload is json.*worker_id is missing"):
        apply(empty_database)


def test_an_existing_table_gets_the_missing_indexes_and_nothing_else_but_limits_beside_it_and_the_trigger(
    empty_database, connect, schema_of
):
    conn = connect(empty_database)
    conn.execute(table())
    before = set(schema_of(empty_database).splitlines())
    applied = apply(empty_database, wake=False)
    assert applied.done[0].startswith("created jobtide_pool_limits and jobtide_tenant_limits")
    assert applied.done[1:] == tuple(
        f"created index {name}"
        for name in (
            "idx_job_queue_tenant_id",
            "idx_job_queue_status_created_at",
            "idx_job_queue_type",
            "idx_job_queue_due",
            "idx_job_queue_running",
        )
    )
    added = set(schema_of(empty_database).splitlines()) - before
    of_the_table = [line for line in added if "job_queue" in line]
    assert len(of_the_table) == 5
    assert all(line.startswith("CREATE INDEX idx_job_queue_") for line in of_the_table)
    (trigger,) = apply(empty_database).done
    assert trigger.startswith("created trigger jobtide_wake:")
    assert check(conn) == ()


def test_the_seeds_own_table_gets_one_index_and_keeps_its_policies(database, connect, schema_of):
    conn = connect()
    conn.execute(
        "DROP INDEX idx_job_queue_due; DROP POLICY service_role_policy ON job_queue;"
        'CREATE POLICY "Service role" ON job_queue TO service_role USING (true)'
    )
    before = set(schema_of(database).splitlines())
    assert apply(database).done == ("created index idx_job_queue_due",)
    (added,) = set(schema_of(database).splitlines()) - before
    assert added.startswith("CREATE INDEX idx_job_queue_due ON public.job_queue")


def test_a_missing_default_is_a_warning_with_the_statement_that_adds_it(empty_database, connect):
    conn = connect(empty_database)
    conn.execute(table(status="job_status"))
    (warning,) = apply(empty_database).warnings
    assert not warning.fatal
    assert "job_queue.status has no default" in warning.message
    conn.execute(warning.message.partition("plain inserts must name it: ")[2])
    assert apply(empty_database).warnings == ()


def test_more_enum_values_than_the_seeds_are_fine(empty_database, connect):
    connect(empty_database).execute(table().replace("'failed'", "'failed', 'archived'"))
    apply(empty_database)
    assert check(connect(empty_database)) == ()


def test_the_table_is_the_one_that_search_path_finds_first(database, connect):
    conn = connect()
    conn.execute("CREATE SCHEMA app; SET search_path = app, public")
    conn.execute(table(attempts=None).replace("CREATE TABLE job_queue", "CREATE TABLE app.job_queue"))
    assert any("app.job_queue.attempts is missing" in problem.message for problem in check(conn))


def test_two_schemas_of_one_database_each_have_their_table_and_people(database, connect):
    """The second one's policies must ask the second one's users."""
    conn = connect()
    conn.execute("CREATE SCHEMA app")
    url = f"{database}?options=-csearch_path%3Dapp"
    assert apply(url).done
    made = conn.execute(
        "SELECT count(*) FROM pg_class WHERE relname IN ('job_queue', 'users', 'tenants') AND relkind = 'r'"
    )
    assert made.fetchone() == (6,)
    tenant_id = conn.execute("INSERT INTO app.tenants DEFAULT VALUES RETURNING id").fetchone()[0]
    user = conn.execute("INSERT INTO app.users (tenant_id) VALUES (%s) RETURNING id", [tenant_id]).fetchone()[0]
    conn.execute("INSERT INTO app.job_queue (tenant_id, type) VALUES (%s, 't')", [tenant_id])
    person = connect(role="authenticated", claims={"sub": str(user)})
    assert person.execute("SELECT count(*) FROM app.job_queue").fetchone() == (1,)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        conn.execute("INSERT INTO job_queue (tenant_id, type) VALUES (%s, 't')", [tenant_id])
