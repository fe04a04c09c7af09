"""What a tenant's user may write: a waiting job's tenant, type, payload and due time, and no more."""

from __future__ import annotations

import psycopg
import pytest

from jobtide.producer.enqueue import enqueue
from jobtide.producer.job_ids import key_of
from jobtide.schema import apply, check
from jobtide.schema.check import read_facts
from jobtide.schema.problems import wall_problems

DENIED = psycopg.errors.InsufficientPrivilege
FORGERIES = [
    pytest.param(column, value, id=column)
    for column, value in [
        ("status", "'completed'"),
        ("attempts", "2147483647"),
        ("worker_id", "'jobtide:local-x:1'"),
        ("result", "'{\"x\": 1}'"),
        ("created_at", "'infinity'"),
        ("completed_at", "now()"),
    ]
]


@pytest.fixture
def user(connect, people):
    return connect(role="authenticated", claims={"sub": str(people.my_user)})


@pytest.mark.parametrize(("column", "value"), FORGERIES)
def test_a_column_that_workers_work_by_is_not_written_by_a_tenants_user(user, people, column, value):
    with pytest.raises(DENIED):
        user.execute(f"INSERT INTO job_queue (tenant_id, type, {column}) VALUES (%s, 't', {value})", [people.mine])
    with pytest.raises(DENIED):
        user.execute(f"UPDATE job_queue SET {column} = {value}")


@pytest.mark.parametrize(("column", "value"), FORGERIES[:-2])
def test_the_policies_hold_even_if_every_column_is_granted_again(connect, user, people, column, value):
    connect().execute("GRANT ALL ON job_queue TO authenticated")
    with pytest.raises(DENIED, match="row-level security"):
        user.execute(f"INSERT INTO job_queue (tenant_id, type, {column}) VALUES (%s, 't', {value})", [people.mine])


def test_a_tenants_user_writes_what_a_job_is(user, people):
    user.execute(
        "INSERT INTO job_queue (tenant_id, type, payload, next_retry_at) VALUES (%s, 't', '{}', now())", [people.mine]
    )
    changed = user.execute("UPDATE job_queue SET type = 'u', payload = '[]', next_retry_at = NULL WHERE type = 't'")
    assert changed.rowcount >= 1
    assert enqueue(user, "t", tenant_id=people.mine) is not None


def test_a_job_that_runs_or_has_ended_is_not_changed_by_a_tenants_user(connect, user, people):
    for status in ("processing", "completed", "failed"):
        connect().execute("UPDATE job_queue SET status = %s WHERE id = %s", [status, people.my_job])
        assert user.execute("UPDATE job_queue SET next_retry_at = now()").rowcount == 0


def test_a_key_of_another_tenant_is_not_inserted(user, people):
    for kind in ("unique", "cron"):
        id_ = key_of(kind, people.other, "t", "k").id(1)
        with pytest.raises(DENIED, match="row-level security"):
            user.execute("INSERT INTO job_queue (id, tenant_id, type) VALUES (%s, %s, 't')", [id_, people.mine])


def test_a_key_of_ones_own_is_used_by_a_tenants_user(user, people):
    assert enqueue(user, "t", tenant_id=people.mine, unique="k") is not None
    assert enqueue(user, "t", tenant_id=people.mine, unique="k") is None


def test_check_is_content_with_a_new_table(connect):
    assert tuple(wall_problems(read_facts(connect()))) == ()


@pytest.mark.parametrize(
    "change",
    ["GRANT UPDATE (status) ON job_queue TO authenticated", "DROP POLICY jobtide_tenant_update_wall ON job_queue"],
)
def test_check_reports_a_gap(connect, change):
    conn = connect()
    conn.execute(change)
    (problem,) = wall_problems(read_facts(conn))
    assert "authenticated may write" in problem.message
    assert "--tenant-walls" in problem.message
    assert check(conn) == (), "workers and controllers work on it all the same"


def test_an_adopted_table_keeps_its_clients_until_the_walls_are_asked_for(connect, database, people, user):
    admin = connect()
    admin.execute(
        "DROP POLICY jobtide_tenant_insert_wall ON job_queue; DROP POLICY jobtide_tenant_update_wall ON job_queue;"
        "GRANT ALL ON job_queue TO authenticated"
    )
    forged = "INSERT INTO job_queue (tenant_id, type, status) VALUES (%s, 't', 'completed')"
    (problem,) = (one for one in apply(database).warnings if one.kind == "TenantsMayForge")
    assert not problem.fatal
    user.execute(forged, [people.mine])
    apply(database, tenant_walls=True)
    with pytest.raises(DENIED):
        user.execute(forged, [people.mine])
    with pytest.raises(DENIED):
        user.execute("TRUNCATE job_queue")
    assert tuple(wall_problems(read_facts(admin))) == ()


@pytest.fixture
def attacked(connect, people):
    """Calls the policies' function with a type of the caller's own in the way; the roles that its code ran as."""

    def attack() -> set[str]:
        admin = connect()
        user = connect(role="authenticated", claims={"sub": str(people.my_user)})
        admin.execute("DROP TABLE IF EXISTS stolen; CREATE TABLE stolen (role text); GRANT INSERT ON stolen TO PUBLIC")
        user.execute(
            "CREATE FUNCTION pg_temp.steal(text) RETURNS boolean LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO public.stolen VALUES (current_user); RETURN true; END $$;"
            "CREATE DOMAIN pg_temp.uuid AS pg_catalog.uuid CHECK (pg_temp.steal(VALUE::text))"
        )
        user.execute("SELECT public.jobtide_current_tenant_id()")
        return {role for (role,) in admin.execute("SELECT role FROM stolen")}

    return attack


def test_a_type_of_the_callers_own_runs_no_code_as_the_owner(connect, database, attacked):
    """auth functions with a text body, as Supabase has them, look for their types at run time."""
    admin = connect()
    admin.execute(
        "CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS "
        "$$ SELECT nullif(current_setting('request.jwt.claims', true)::jsonb ->> 'sub', '')::uuid $$"
    )
    assert attacked() == set()
    admin.execute("ALTER FUNCTION jobtide_current_tenant_id() SET search_path = ''")
    assert attacked() == {"postgres"}, "as earlier versions made it"
    (problem,) = wall_problems(read_facts(admin))
    assert "pg_temp" in problem.message
    apply(database)
    assert attacked() == set()
    assert tuple(wall_problems(read_facts(admin))) == ()
