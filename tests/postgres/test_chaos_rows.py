"""What a chaos run does to rows is real: the server refuses and locks them, and hostile tenants meet real walls."""

from __future__ import annotations

import psycopg
import pytest

from dev.chaos.hostile import FORBIDDEN, Hostile
from dev.chaos.workload import REFUSAL, REFUSED_CLAIM, REFUSED_ENDS, REFUSED_RESULT
from jobtide.schema import check
from jobtide.sql import load

ACTS = 150


@pytest.fixture
def admin(connect) -> psycopg.Connection:
    return connect()


@pytest.fixture
def new_hostile(admin, connect, tenant):
    def new(*, walled: bool) -> Hostile:
        own, other = tenant(), tenant()
        admin.execute("INSERT INTO job_queue (tenant_id, type) VALUES (%s, 'a'), (%s, 'a')", [own, other])
        admin.execute("INSERT INTO job_queue (tenant_id, type, status) VALUES (%s, 'a', 'completed')", [own])
        (user,) = admin.execute(load("dev.chaos.sql", "hostile_user"), {"tenant": own}).fetchone()
        return Hostile(
            connect=connect, tenant=own, other=other, types=("a", "b"), seed=1, user=user if walled else None
        )

    return new


def test_a_hostile_tenant_behind_walls_writes_rows_and_breaches_nothing(new_hostile, connect):
    hostile = new_hostile(walled=True)
    conn = connect()
    for _ in range(ACTS):
        hostile.act(conn)
    assert hostile.writing.breaches == set()
    assert hostile.writing.stored > ACTS / 4


def test_every_missing_wall_is_found(new_hostile, admin, connect):
    admin.execute("GRANT ALL ON job_queue TO authenticated")
    admin.execute("ALTER TABLE job_queue DISABLE ROW LEVEL SECURITY")
    hostile = new_hostile(walled=True)
    conn = connect()
    for words in FORBIDDEN:
        hostile.try_forbidden(conn, words)
    assert hostile.writing.breaches == set(FORBIDDEN)


def test_a_hostile_tenant_without_walls_writes_its_own_rows_alone(new_hostile, admin, connect):
    hostile = new_hostile(walled=False)
    others = "SELECT * FROM job_queue WHERE tenant_id <> %s ORDER BY id"
    before = admin.execute(others, [hostile.tenant]).fetchall()
    conn = connect()
    for _ in range(ACTS):
        hostile.act(conn)
    assert hostile.writing.stored > ACTS / 4
    own = "SELECT count(DISTINCT status), count(DISTINCT worker_id) FROM job_queue WHERE tenant_id = %s"
    statuses, tokens = admin.execute(own, [hostile.tenant]).fetchone()
    assert statuses == 4
    assert tokens > 4
    assert admin.execute(others, [hostile.tenant]).fetchall() == before


def test_a_hostile_thread_goes_on_after_a_lost_connection_and_stops(new_hostile, admin, wait_until):
    hostile = new_hostile(walled=False)
    hostile.start()
    wait_until(lambda: hostile.writing.stored)
    name = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    admin.execute(name, [admin.info.backend_pid])
    stored = hostile.writing.stored
    wait_until(lambda: hostile.writing.stored > stored)
    hostile.stop()
    assert not hostile.writing.breaches


@pytest.mark.parametrize(
    ("mark", "refused"),
    [
        pytest.param(REFUSED_CLAIM, {"processing"}, id=REFUSED_CLAIM),
        pytest.param(REFUSED_RESULT, {"completed"}, id=REFUSED_RESULT),
        pytest.param(REFUSED_ENDS, {"completed", "failed"}, id=REFUSED_ENDS),
        pytest.param("other", set(), id="no-mark"),
    ],
)
def test_the_server_refuses_what_the_mark_says_until_claims_are_accepted(admin, tenant, mark, refused):
    admin.execute(load("dev.chaos.sql", "setup"))
    insert = (
        "INSERT INTO job_queue (tenant_id, type, payload) VALUES (%s, 'a', jsonb_build_object('refused', %s::text))"
    )
    admin.execute(insert, [tenant(), mark])

    def refusals() -> set[str]:
        found = set()
        for status in ("processing", "completed", "failed"):
            try:
                with admin.transaction(force_rollback=True):
                    admin.execute("UPDATE job_queue SET status = %s", [status])
            except psycopg.errors.CheckViolation as error:
                found |= {status} if f"{REFUSAL} {status}" in str(error) else {str(error)}
        return found

    assert refusals() == refused
    admin.execute("UPDATE job_queue SET created_at = now() - interval '21 s'")
    assert refusals() == refused - ({"completed", "failed"} if mark == REFUSED_ENDS else set())
    assert check(admin) == ()
    admin.execute(load("dev.chaos.sql", "accept_claims"))
    assert refusals() == ({"completed"} if mark == REFUSED_RESULT else set())


def test_locked_rows_stay_locked_for_the_transaction(admin, connect, tenant):
    owner = tenant()
    admin.execute("INSERT INTO job_queue (tenant_id, type) SELECT %s, 'a' FROM generate_series(1, 5)", [owner])
    holder = connect(autocommit=False)
    wanted = {"tenants": [owner], "status": "pending", "rows": 2}
    locked = {id_ for (id_,) in holder.execute(load("dev.chaos.sql", "lock"), wanted)}
    free = "SELECT id FROM job_queue FOR UPDATE SKIP LOCKED"
    assert len(locked) == 2
    assert len({id_ for (id_,) in admin.execute(free)} | locked) == 5
    assert locked.isdisjoint(id_ for (id_,) in admin.execute(free))
    holder.rollback()
    assert len(admin.execute(free).fetchall()) == 5
