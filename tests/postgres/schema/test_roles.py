"""The two least-privilege roles: what they are for works, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

import jobtide
import jobtide_controller
from jobtide.schema import apply, check
from jobtide.schema.expected import COLUMNS, GRANTS

DENIED = psycopg.errors.InsufficientPrivilege
SENT_BY_WORKERS = sorted(Path(jobtide.__file__).parent.glob("sql/*.sql"))
SENT_BY_CONTROLLERS = sorted(Path(jobtide_controller.__file__).parent.glob("postgres/sql/*.sql"))
ROLES = ["jobtide_worker", "jobtide_controller"]

CLAIM = """
UPDATE job_queue SET status = 'processing', worker_id = 'jobtide:pod:1', attempts = attempts + 1,
  next_retry_at = now() + interval '1 minute'
WHERE id IN (SELECT id FROM job_queue WHERE status = 'pending' FOR NO KEY UPDATE SKIP LOCKED)
"""
FINISH = """
UPDATE job_queue SET status = 'completed', result = '{"pages": 3}', next_retry_at = NULL, completed_at = now()
WHERE status = 'processing'
"""
ENQUEUE = """
INSERT INTO job_queue (tenant_id, type, payload, next_retry_at)
SELECT tenant_id, 'u', '{}', now() FROM job_queue LIMIT 1
"""
ENQUEUE_ONCE = """
INSERT INTO job_queue (id, tenant_id, type) SELECT id, tenant_id, 'u' FROM job_queue ON CONFLICT (id) DO NOTHING
"""
RESCUE = """
UPDATE job_queue SET status = 'pending', next_retry_at = NULL, attempts = attempts - 1,
  result = result || '{"error": {"type": "WorkerLost"}}'
WHERE split_part(worker_id, ':', 2) = 'pod' AND status = 'processing'
"""
TRIGGER = """
CREATE TRIGGER t BEFORE UPDATE ON job_queue FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()
"""
DEPTH = "SELECT type, tenant_id, count(*), min(created_at) FROM job_queue WHERE status = 'pending' GROUP BY 1, 2"


@pytest.fixture
def login(as_role, database, connect, people):
    """login(role): a connection of a login in that group, to a database with two tenants' jobs."""
    return lambda role: connect(as_role(database, f"IN ROLE {role}"))


@pytest.mark.parametrize("part", ["worker", "controller"])
def test_check_finds_nothing_wrong_with_a_login_in_the_group(login, part):
    assert check(login(f"jobtide_{part}"), part) == ()


def test_the_worker_claims_finishes_and_enqueues_for_all_tenants(login):
    conn = login("jobtide_worker")
    assert conn.execute(CLAIM).rowcount == 2
    assert conn.execute(FINISH).rowcount == 2
    assert conn.execute(ENQUEUE).rowcount == 1
    assert conn.execute(ENQUEUE_ONCE).rowcount == 0


def test_the_controller_reads_the_depth_and_rescues_for_all_tenants(login):
    assert login("jobtide_worker").execute(CLAIM).rowcount == 2
    conn = login("jobtide_controller")
    assert conn.execute(RESCUE).rowcount == 2
    assert len(conn.execute(DEPTH).fetchall()) == 2


@pytest.mark.parametrize(
    ("role", "file"),
    [
        *[pytest.param("jobtide_worker", file, id=f"worker-{file.stem}") for file in SENT_BY_WORKERS],
        *[pytest.param("jobtide_controller", file, id=f"controller-{file.stem}") for file in SENT_BY_CONTROLLERS],
    ],
)
def test_every_statement_that_a_part_sends_is_granted(login, role, file):
    """EXPLAIN checks the privileges of the whole statement, even if it would find no rows."""
    text = file.read_text()
    parameters = dict.fromkeys(re.findall(r"%\((\w+)\)s", text))
    assert login(role).execute(f"EXPLAIN {text}", parameters).fetchall()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELECT FROM users", id="read users"),
        pytest.param("SELECT FROM tenants", id="read tenants"),
        pytest.param("UPDATE users SET is_super_admin = true", id="make a super admin"),
        pytest.param("TRUNCATE job_queue", id="truncate"),
        pytest.param("UPDATE job_queue SET tenant_id = gen_random_uuid()", id="move a job"),
        pytest.param("UPDATE job_queue SET payload = '{}'", id="change what a job asks for"),
        pytest.param("UPDATE job_queue SET type = 't'", id="change a type"),
        pytest.param("CREATE TABLE t ()", id="create a table"),
        pytest.param("CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1", id="create a function"),
        pytest.param("CREATE SCHEMA s", id="create a schema"),
        pytest.param("CREATE ROLE r", id="create a role"),
        pytest.param("ALTER TABLE job_queue DISABLE ROW LEVEL SECURITY", id="switch RLS off"),
        pytest.param("CREATE POLICY p ON job_queue USING (true)", id="create a policy"),
        pytest.param(TRIGGER, id="create a trigger"),
        pytest.param("CREATE INDEX i ON job_queue (id)", id="create an index"),
        pytest.param("SELECT jobtide_is_super_admin()", id="call the policies' functions"),
        pytest.param("SET ROLE service_role", id="become service_role"),
    ],
)
def test_no_other_right_comes_with_the_group(login, role, statement):
    with pytest.raises(DENIED):
        login(role).execute(statement)


def test_the_worker_deletes_no_job(login):
    with pytest.raises(DENIED):
        login("jobtide_worker").execute("DELETE FROM job_queue")


def test_the_controller_deletes_ended_jobs_only(login, connect, people):
    insert = "INSERT INTO job_queue (tenant_id, type, status) SELECT %s, 't', unnest(enum_range(NULL::job_status))"
    connect().execute(insert, [people.mine])
    assert login("jobtide_controller").execute("DELETE FROM job_queue").rowcount == 2
    left = connect().execute("SELECT DISTINCT status::text FROM job_queue ORDER BY 1").fetchall()
    assert left == [("pending",), ("processing",)]


def test_the_controller_can_not_end_a_job_to_delete_it(login):
    login("jobtide_worker").execute(CLAIM)
    for status in ("completed", "failed"):
        with pytest.raises(DENIED, match="row-level security"):
            login("jobtide_controller").execute("UPDATE job_queue SET status = %s::job_status", [status])
    assert login("jobtide_controller").execute("DELETE FROM job_queue").rowcount == 0


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELECT payload FROM job_queue", id="read payloads"),
        pytest.param("SELECT * FROM job_queue", id="read everything"),
        pytest.param("INSERT INTO job_queue (tenant_id, type) SELECT tenant_id, 't' FROM job_queue", id="insert"),
    ],
)
def test_the_controller_knows_no_payload_and_makes_no_job(login, statement):
    with pytest.raises(DENIED):
        login("jobtide_controller").execute(statement)


@pytest.mark.parametrize(
    ("forged", "denied"),
    [
        pytest.param("result = '{\"paid\": true}'", 0, id="a result"),
        pytest.param("status = 'pending'", 0, id="reopened"),
        pytest.param("attempts = 0", 0, id="attempts"),
        pytest.param("completed_at = NULL", None, id="its end"),
        pytest.param("worker_id = NULL", None, id="its claim"),
    ],
)
def test_the_controller_cannot_change_a_job_that_has_ended(login, connect, forged, denied):
    connect().execute("UPDATE job_queue SET status = 'completed', worker_id = 'jobtide:pod:1', completed_at = now()")
    change = f"UPDATE job_queue SET {forged} WHERE status = 'completed'"
    if denied is None:
        with pytest.raises(DENIED):
            login("jobtide_controller").execute(change)
    else:
        assert login("jobtide_controller").execute(change).rowcount == denied


def test_the_controller_only_requeues_a_running_job_and_never_ends_it(login):
    login("jobtide_worker").execute(CLAIM)
    with pytest.raises(DENIED, match="row-level security"):
        login("jobtide_controller").execute("UPDATE job_queue SET status = 'completed' WHERE status = 'processing'")
    assert login("jobtide_controller").execute("UPDATE job_queue SET status = 'pending'").rowcount == 2


def test_rights_of_an_earlier_version_are_taken_back(database, connect, login):
    connect().execute(
        """GRANT UPDATE (worker_id, completed_at) ON job_queue TO jobtide_controller;
           DROP POLICY jobtide_controller_policy ON job_queue;
           DROP POLICY jobtide_controller_rescue_policy ON job_queue;
           CREATE POLICY jobtide_controller_policy ON job_queue TO jobtide_controller USING (true) WITH CHECK (true)"""
    )
    before = login("jobtide_controller")
    assert before.execute("UPDATE job_queue SET completed_at = now()").rowcount == 2
    apply(database, roles=True)
    with pytest.raises(DENIED):
        before.execute("UPDATE job_queue SET completed_at = now()")
    assert before.execute("UPDATE job_queue SET status = 'pending' WHERE status = 'pending'").rowcount == 0
    assert check(login("jobtide_controller"), "controller") == ()


def test_the_worker_cannot_insert_a_job_that_is_done_already(login, people):
    with pytest.raises(DENIED):
        login("jobtide_worker").execute(
            "INSERT INTO job_queue (tenant_id, type, status) VALUES (%s, 't', 'completed')", [people.mine]
        )


@pytest.mark.parametrize("part", ["worker", "controller"])
def test_the_granted_columns_are_exactly_those_that_check_asks_for(connect, part):
    granted = connect().execute(
        "SELECT privilege_type, column_name FROM information_schema.column_privileges "
        "WHERE grantee = %s AND table_name = 'job_queue'",
        [f"jobtide_{part}"],
    )
    wanted = {(privilege, column) for privilege, columns in GRANTS[part].items() for column in columns}
    assert set(granted.fetchall()) == wanted
    assert {column for _, column in wanted} <= set(COLUMNS)


def test_the_roles_cannot_log_in_themselves_and_have_no_attributes(connect):
    rows = connect().execute(
        "SELECT rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication "
        "FROM pg_roles WHERE rolname = ANY (%s)",
        [ROLES],
    )
    assert rows.fetchall() == [(False,), (False,)]


def test_roles_are_added_to_an_existing_table_without_touching_its_policies(empty_database, connect, schema_of):
    apply(empty_database)
    before = schema_of(empty_database).splitlines()
    apply(empty_database, roles=True)
    after = schema_of(empty_database).splitlines()
    assert [line for line in before if line not in after] == []
    added = [line for line in after if line not in before]
    assert added
    assert all(line.startswith(("GRANT ", "CREATE POLICY jobtide_")) for line in added if line)


def test_a_schema_of_ones_own_is_opened_to_the_groups(database, connect, as_role):
    connect().execute("CREATE SCHEMA app; REVOKE ALL ON SCHEMA app FROM PUBLIC")
    app = "options=-csearch_path%3Dapp"
    apply(f"{database}?{app}", roles=True)
    worker = connect(f"{as_role(database, 'IN ROLE jobtide_worker')}?{app}")
    assert check(worker) == ()
