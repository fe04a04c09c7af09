"""jobtide_operator: it reads, retries, cancels, makes due and purges, and can do nothing else."""

from __future__ import annotations

import re
from importlib.resources import files

import psycopg
import pytest

from jobtide.operate.change import Change
from jobtide.operate.filters import VERBS, JobFilter
from jobtide.schema import apply
from jobtide.sql import load

DENIED = psycopg.errors.InsufficientPrivilege
STATEMENTS = sorted(
    file.name.removesuffix(".sql")
    for file in files("jobtide.operate").joinpath("sql").iterdir()
    if file.name.endswith(".sql")
)
CANCELLED = 'status = \'failed\', completed_at = now(), result = \'{"error": {"type": "Cancelled"}}\''


@pytest.fixture
def operator(as_role, database, connect, people):
    """A connection of a login in that group, to a database with two tenants' jobs."""
    return connect(as_role(database, "IN ROLE jobtide_operator"))


@pytest.fixture
def become(connect):
    """become("completed"): every job has this status."""
    connection = connect()

    def change(status, worker_id=None):
        connection.execute(
            "UPDATE job_queue SET status = %s, worker_id = %s, completed_at = CASE WHEN %s THEN now() END",
            [status, worker_id, status in {"completed", "failed"}],
        )

    return change


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_of_an_operator_is_granted(operator, name):
    text = load("jobtide.operate", f"sql/{name}")
    operator.execute(f"EXPLAIN {text}", dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))


@pytest.mark.parametrize(
    ("verb", "status", "worker_id"),
    [
        ("retry", "failed", None),
        ("cancel", "pending", None),
        ("cancel", "processing", "jobtide:p:1"),
        ("purge", "completed", None),
        ("purge", "failed", None),
    ],
)
def test_each_verb_works_for_all_tenants(operator, become, people, verb, status, worker_id):
    become(status, worker_id)
    for id_ in (people.my_job, people.other_job):
        run = Change(operator, verb, JobFilter(id=id_), by="alice")
        list(run)
        assert run.action().changed == 1


def test_run_now_works(operator, connect, people):
    connect().execute("UPDATE job_queue SET next_retry_at = now() + interval '1 day'")
    run = Change(operator, "run-now", JobFilter(tenant=people.mine), by="alice")
    list(run)
    assert run.action().changed == 1


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELECT FROM users", id="read users"),
        pytest.param("SELECT FROM tenants", id="read tenants"),
        pytest.param("UPDATE users SET is_super_admin = true", id="make a super admin"),
        pytest.param("TRUNCATE job_queue", id="truncate"),
        pytest.param("INSERT INTO job_queue (tenant_id, type) SELECT tenant_id, 't' FROM job_queue", id="insert"),
        pytest.param("UPDATE job_queue SET tenant_id = gen_random_uuid()", id="move a job"),
        pytest.param("UPDATE job_queue SET payload = '{}'", id="change what a job asks for"),
        pytest.param("UPDATE job_queue SET type = 't'", id="change a type"),
        pytest.param("UPDATE job_queue SET created_at = now()", id="change its age"),
        pytest.param("UPDATE job_queue SET status = 'processing', worker_id = 'jobtide:p:1'", id="claim"),
        pytest.param("UPDATE job_queue SET status = 'completed', completed_at = now()", id="complete"),
        pytest.param("UPDATE job_queue SET status = 'failed', completed_at = now()", id="fail without a word"),
        pytest.param(
            'UPDATE job_queue SET status = \'failed\', completed_at = now(), result = \'{"error": {"type": "Boom"}}\'',
            id="write another error",
        ),
        pytest.param("UPDATE job_queue SET completed_at = now()", id="mark a waiting job as ended"),
        pytest.param("CREATE TABLE t ()", id="create a table"),
        pytest.param("CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1", id="create a function"),
        pytest.param("ALTER TABLE job_queue DISABLE ROW LEVEL SECURITY", id="switch RLS off"),
        pytest.param("CREATE INDEX i ON job_queue (id)", id="create an index"),
        pytest.param("SELECT jobtide_is_super_admin()", id="call the policies' functions"),
        pytest.param("SET ROLE jobtide_worker", id="become a worker"),
        pytest.param("SET ROLE service_role", id="become service_role"),
    ],
)
def test_no_other_right_comes_with_the_group(operator, statement):
    with pytest.raises(DENIED):
        operator.execute(statement)


@pytest.mark.parametrize(
    ("status", "worker_id", "statement"),
    [
        pytest.param("completed", None, "UPDATE job_queue SET status = 'pending', completed_at = NULL", id="reopen"),
        pytest.param("completed", None, "UPDATE job_queue SET result = '1'", id="forge a result"),
        pytest.param("completed", None, f"UPDATE job_queue SET {CANCELLED}", id="cancel a completed job"),
        pytest.param("processing", "theirs", f"UPDATE job_queue SET {CANCELLED}", id="cancel another consumer's job"),
        pytest.param("pending", None, "DELETE FROM job_queue", id="delete a waiting job"),
        pytest.param("processing", "jobtide:p:1", "DELETE FROM job_queue", id="delete a running job"),
    ],
)
def test_rows_that_no_verb_concerns_are_out_of_reach(operator, become, status, worker_id, statement):
    become(status, worker_id)
    assert operator.execute(statement).rowcount == 0


def test_the_group_has_the_verbs_columns_and_no_more(connect):
    granted = connect().execute(
        "SELECT privilege_type, array_agg(column_name::text ORDER BY column_name::text) "
        "FROM information_schema.column_privileges "
        "WHERE grantee = 'jobtide_operator' AND table_name = 'job_queue' AND privilege_type <> 'SELECT' GROUP BY 1"
    )
    columns = ["attempts", "completed_at", "next_retry_at", "result", "status", "worker_id"]
    assert granted.fetchall() == [("UPDATE", columns)]
    rows = connect().execute(
        "SELECT rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication "
        "FROM pg_roles WHERE rolname = 'jobtide_operator'"
    )
    assert rows.fetchall() == [(False,)]


def test_a_second_apply_changes_nothing(database, schema_of):
    apply(database, roles=True)
    before = schema_of(database)
    apply(database, roles=True)
    assert schema_of(database) == before


def test_every_verb_is_tried_here():
    assert set(VERBS) == {"retry", "cancel", "run-now", "purge"}
