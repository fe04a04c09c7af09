"""Who sees and changes which jobs: the seed's security section as a matrix."""

from __future__ import annotations

import psycopg
import pytest

DENIED = psycopg.errors.InsufficientPrivilege

# Rows that a statement on one job of another tenant touches; DENIED for an error.
SELECT = "SELECT FROM job_queue WHERE id = %(job)s"
INSERT = "INSERT INTO job_queue (tenant_id, type) VALUES (%(tenant)s, 't')"
UPDATE = "UPDATE job_queue SET payload = '{}' WHERE id = %(job)s"
DELETE = "DELETE FROM job_queue WHERE id = %(job)s"
STATEMENTS = {"select": SELECT, "insert": INSERT, "update": UPDATE, "delete": DELETE}

OWN = {"select": 1, "insert": 1, "update": 1, "delete": 1}
OTHERS = {"select": 0, "insert": DENIED, "update": 0, "delete": 0}
NOTHING = dict.fromkeys(STATEMENTS, DENIED)

MATRIX = [
    pytest.param(role, claims, whose, statement, expected, id=f"{who}-{statement}-{whose}")
    for who, role, claims, whose, outcomes in [
        ("user", "authenticated", "my_user", "mine", OWN),
        ("user", "authenticated", "my_user", "other", OTHERS),
        ("super_admin", "authenticated", "super_admin", "mine", OWN),
        ("super_admin", "authenticated", "super_admin", "other", OWN),
        ("service_role", "service_role", None, "mine", OWN),
        ("service_role", "service_role", None, "other", OWN),
        ("anonymous", "anon", None, "mine", NOTHING),
        ("no_claims", "authenticated", None, "mine", OTHERS),
    ]
    for statement, expected in outcomes.items()
]


@pytest.mark.parametrize(("role", "claims", "whose", "statement", "expected"), MATRIX)
def test_a_role_reaches_exactly_the_jobs_it_may(connect, people, role, claims, whose, statement, expected):
    job, tenant_id = (people.my_job, people.mine) if whose == "mine" else (people.other_job, people.other)
    conn = connect(role=role, claims=claims and {"sub": str(getattr(people, claims))})
    run = lambda: conn.execute(STATEMENTS[statement], {"job": job, "tenant": tenant_id}).rowcount  # noqa: E731
    if expected is DENIED:
        with pytest.raises(DENIED):
            run()
    else:
        assert run() == expected


def test_a_user_sees_only_the_own_tenants_jobs_without_asking_for_them(connect, people):
    conn = connect(role="authenticated", claims={"sub": str(people.my_user)})
    assert conn.execute("SELECT id FROM job_queue").fetchall() == [(people.my_job,)]


def test_a_user_cannot_give_a_job_to_another_tenant(connect, people):
    conn = connect(role="authenticated", claims={"sub": str(people.my_user)})
    with pytest.raises(DENIED, match="row-level security"):
        conn.execute("UPDATE job_queue SET tenant_id = %s WHERE id = %s", [people.other, people.my_job])


def test_a_user_cannot_take_a_job_of_another_tenant(connect, people):
    conn = connect(role="authenticated", claims={"sub": str(people.my_user)})
    taken = conn.execute("UPDATE job_queue SET tenant_id = %s WHERE id = %s", [people.mine, people.other_job])
    assert taken.rowcount == 0


def test_a_super_admin_may_move_a_job(connect, people):
    conn = connect(role="authenticated", claims={"sub": str(people.super_admin)})
    moved = conn.execute("UPDATE job_queue SET tenant_id = %s WHERE id = %s", [people.other, people.my_job])
    assert moved.rowcount == 1


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"sub": "3f6c1b1e-0000-4000-8000-000000000000"}, id="unknown user"),
        pytest.param({"sub": ""}, id="empty sub"),
        pytest.param({"role": "authenticated"}, id="no sub"),
        pytest.param({"user_metadata": {"is_super_admin": True}}, id="claims of one's own making"),
    ],
)
def test_claims_without_a_user_show_nothing(connect, people, claims):
    conn = connect(role="authenticated", claims=claims)
    assert conn.execute("SELECT count(*) FROM job_queue").fetchone() == (0,)


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_truncate_which_asks_no_policy_is_not_granted(connect, role):
    with pytest.raises(DENIED):
        connect(role=role).execute("TRUNCATE job_queue")


def test_policies_on_users_and_tenants_do_not_recurse(connect, people):
    conn = connect(role="authenticated", claims={"sub": str(people.my_user)})
    # Through an index only the own row is looked at, and a policy that recurses may get away with it.
    conn.execute("SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off")
    assert conn.execute("SELECT id FROM users").fetchall() == [(people.my_user,)]
    assert conn.execute("SELECT id FROM tenants").fetchall() == [(people.mine,)]


def test_a_user_cannot_become_super_admin_or_change_tenant(connect, people):
    conn = connect(role="authenticated", claims={"sub": str(people.my_user)})
    for change in ("is_super_admin = true", f"tenant_id = '{people.other}'"):
        with pytest.raises(DENIED):
            conn.execute(f"UPDATE users SET {change}")


def test_a_search_path_of_the_callers_own_misleads_no_policy(connect, people):
    admin = connect()
    admin.execute("CREATE SCHEMA trap AUTHORIZATION authenticated")
    conn = connect(role="authenticated", claims={"sub": str(people.my_user)})
    conn.execute(
        "CREATE TABLE trap.users AS SELECT auth.uid() AS id, %s::uuid AS tenant_id, true AS is_super_admin",
        [people.other],
    )
    conn.execute("SET search_path = trap, public")
    assert conn.execute("SELECT id FROM public.job_queue").fetchall() == [(people.my_job,)]


def test_the_tenant_is_looked_up_once_a_statement_not_once_a_row(connect, people):
    admin = connect()
    admin.execute(
        "INSERT INTO job_queue (tenant_id, type) SELECT %s, 't' FROM generate_series(1, 5000)", [people.other]
    )
    admin.execute("ANALYZE job_queue")
    conn = connect(role="authenticated", claims={"sub": str(people.my_user)})
    plan = "\n".join(line for (line,) in conn.execute("EXPLAIN (VERBOSE) SELECT * FROM job_queue"))
    assert "InitPlan" in plan
    assert "Filter: ((tenant_id = jobtide_current_tenant_id())" not in plan
