"""The check of worker and controller at start: each problem by kind, with its fix in the message."""

from __future__ import annotations

import pytest

from jobtide.schema import ProblemKind, check
from jobtide.schema.script import INDEXES


@pytest.fixture
def blinded(database, connect, as_role):
    """blinded(policy): a login with every grant, under this policy; `{role}` is its name."""

    def login(policy: str, attributes: str = ""):
        url = as_role(database, attributes)
        name = url.partition("//")[2].partition("@")[0]
        admin = connect()
        admin.execute(f"GRANT SELECT, INSERT, UPDATE ON job_queue TO {name}")
        admin.execute(policy.format(role=name, options=""))
        return connect(url)

    return login


def test_a_complete_table_has_no_problem(connect):
    assert check(connect()) == ()


def test_the_message_of_a_missing_table_names_role_database_and_search_path(empty_database, connect):
    conn = connect(empty_database)
    (problem,) = check(conn)
    assert (problem.kind, problem.fatal) == (ProblemKind.TABLE_MISSING, True)
    assert f"role postgres in database {conn.info.dbname}" in problem.message
    assert 'search_path "$user", public: run jobtide schema apply' in problem.message


def test_a_table_outside_the_search_path_is_missing(connect):
    conn = connect()
    conn.execute("SET search_path = pg_catalog")
    assert [problem.kind for problem in check(conn)] == [ProblemKind.TABLE_MISSING]


def test_a_schema_without_usage_hides_the_table(connect, database, as_role):
    connect().execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    (problem,) = check(connect(as_role(database)))
    assert problem.kind is ProblemKind.TABLE_MISSING
    assert "grant USAGE" in problem.message


@pytest.mark.parametrize("name", INDEXES)
def test_a_missing_index_is_a_warning_whose_ddl_repairs_it(connect, name):
    conn = connect()
    conn.execute(f"DROP INDEX {name}")
    (problem,) = check(conn)
    assert (problem.kind, problem.fatal) == (ProblemKind.INDEX_MISSING, False)
    conn.execute(problem.message.partition("claims and readings are slow: ")[2])
    assert check(conn) == ()


@pytest.mark.parametrize(
    ("part", "updated"), [("worker", "status, worker_id, attempts"), ("controller", "status, attempts, next_retry_at")]
)
def test_the_message_of_missing_rights_names_privileges_columns_and_grant(connect, database, as_role, part, updated):
    url = as_role(database)
    problems = check(connect(url), part)
    missing = [problem.message for problem in problems if problem.kind is ProblemKind.GRANT_MISSING]
    assert any("lacks SELECT on id, tenant_id, type" in message for message in missing)
    assert any(f"lacks UPDATE on {updated}" in message for message in missing)
    grant = missing[0].partition("public.job_queue: ")[2].partition(" (made by")[0]
    connect().execute(grant)
    assert check(connect(url), part) == ()


def test_the_controllers_role_lacks_the_rights_of_a_worker(connect, database, as_role):
    problems = check(connect(as_role(database, "IN ROLE jobtide_controller")), "worker")
    assert [problem.kind for problem in problems] == [ProblemKind.GRANT_MISSING] * 3
    assert "lacks SELECT on payload of" in problems[0].message
    assert "lacks UPDATE on worker_id, completed_at of" in problems[1].message
    assert "lacks INSERT on id, tenant_id, type, payload, next_retry_at of" in problems[2].message


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param("SELECT", id="no policy for it"),
        pytest.param("CREATE POLICY p ON job_queue TO {role} USING (type = 't')", id="sees some"),
        pytest.param("CREATE POLICY p ON job_queue FOR SELECT TO {role} USING (true)", id="sees all, changes none"),
        pytest.param("CREATE POLICY p ON job_queue FOR UPDATE TO {role} USING (true)", id="changes all, sees none"),
        pytest.param("CREATE POLICY p ON job_queue TO {role} USING (true) WITH CHECK (attempts < 3)", id="writes some"),
        pytest.param(
            "CREATE POLICY p ON job_queue TO {role} USING (true);"
            "CREATE POLICY r ON job_queue AS RESTRICTIVE TO PUBLIC USING (type <> 'secret')",
            id="restricted",
        ),
        pytest.param(
            "CREATE POLICY p ON job_queue TO {role} USING (true);"
            "CREATE POLICY r ON job_queue AS RESTRICTIVE FOR SELECT TO {role} USING (type <> 'secret')",
            id="reads restricted",
        ),
        pytest.param(
            "CREATE POLICY p ON job_queue TO {role} USING (true);"
            "CREATE POLICY r ON job_queue AS RESTRICTIVE FOR UPDATE TO {role} USING (type <> 'secret')",
            id="changes restricted",
        ),
        pytest.param("CREATE POLICY p ON job_queue TO service_role USING (true)", id="another role's policy"),
    ],
)
def test_a_role_from_which_rls_hides_rows_is_detected(blinded, policy):
    (problem,) = check(blinded(policy))
    assert (problem.kind, problem.fatal) == (ProblemKind.RLS_HIDES_ROWS, True)
    assert "is silently left out" in problem.message


@pytest.mark.parametrize(
    ("policy", "attributes"),
    [
        pytest.param("CREATE POLICY p ON job_queue TO {role} USING (true)", "", id="policy of its own"),
        pytest.param("CREATE POLICY p ON job_queue USING (true)", "", id="policy for every role"),
        pytest.param(
            "CREATE POLICY p ON job_queue FOR SELECT TO {role} USING (true);"
            "CREATE POLICY q ON job_queue FOR UPDATE TO {role} USING (true)",
            "",
            id="one policy a command",
        ),
        pytest.param(
            "CREATE POLICY p ON job_queue TO {role} USING (true);"
            "CREATE POLICY r ON job_queue AS RESTRICTIVE TO anon USING (false)",
            "",
            id="another role restricted",
        ),
        pytest.param("SELECT", "IN ROLE jobtide_worker", id="a group's policy"),
        pytest.param("SELECT", "BYPASSRLS", id="bypasses"),
        pytest.param("ALTER TABLE job_queue DISABLE ROW LEVEL SECURITY", "", id="RLS off"),
    ],
)
def test_a_role_that_sees_every_row_is_not_called_blind(blinded, people, policy, attributes):
    conn = blinded(policy, attributes)
    assert check(conn) == ()
    assert conn.execute("UPDATE job_queue SET attempts = attempts + 1").rowcount == 2


def test_a_member_that_does_not_inherit_is_blind(blinded):
    assert ProblemKind.RLS_HIDES_ROWS in [p.kind for p in check(blinded("SELECT", "NOINHERIT IN ROLE jobtide_worker"))]


def test_the_owner_is_not_blind_unless_rls_is_forced(connect, as_role, database):
    url = as_role(database)
    name = url.partition("//")[2].partition("@")[0]
    connect().execute(f"ALTER TABLE job_queue OWNER TO {name}")
    assert check(connect(url)) == ()
    connect().execute("ALTER TABLE job_queue FORCE ROW LEVEL SECURITY")
    assert [problem.kind for problem in check(connect(url))] == [ProblemKind.RLS_HIDES_ROWS]


def test_a_standby_is_a_problem_until_it_is_promoted(own_server, own_database, connect):
    own_server.become_standby()
    (problem,) = check(connect(own_database))
    assert (problem.kind, problem.fatal) == (ProblemKind.STANDBY, True)
    own_server.promote()
    assert check(connect(own_database)) == ()


def test_check_reads_no_row_and_takes_no_lock_that_blocks_others(connect):
    holder, conn = connect(autocommit=False), connect()
    holder.execute("LOCK TABLE job_queue IN SHARE ROW EXCLUSIVE MODE")
    conn.execute("SET lock_timeout = '1s'")
    assert check(conn) == ()
