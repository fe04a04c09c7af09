"""The rows of `helm test` on a real table: none stays behind, and a stop waits for no statement."""

from __future__ import annotations

import asyncio

import pytest
from psycopg.conninfo import make_conninfo

from jobtide_controller.selftest.rows import Rows
from jobtide_controller.selftest.steps import SelfTest

TYPE = "jobtide-test.queue.tide"
LOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class NoPool:
    """That of a test which never comes to its second step."""

    async def create(self):
        pytest.fail("the first step did not fail")

    async def read(self):
        return None

    async def delete(self):
        pass


@pytest.fixture
def rows_of(database):
    """rows_of(tenant_id): with the rights of the two logins."""

    def role(group):
        return lambda: make_conninfo(database, options=f"-crole={group}")

    return lambda tenant_id: Rows(role("jobtide_worker"), role("jobtide_controller"), TYPE, tenant_id)


@pytest.fixture
def left(connect):
    admin = connect()
    return lambda: admin.execute("SELECT count(*) FROM job_queue").fetchone()[0]


async def stopped_while_it_waits(connect, rows, holder):
    """Runs a test, stops it as SIGTERM does once a statement waits for the holder's lock, and ends that."""
    said = []
    running = asyncio.create_task(SelfTest(rows, NoPool(), said.append).run(30))
    admin = connect()
    while not admin.execute(LOCKED).fetchone()[0]:
        assert not running.done(), said  # this loop runs between two statements only, if they hold the loop up
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.sleep(0)
    holder.rollback()
    assert await running is False
    return said


async def test_a_row_of_another_tenant_is_removed_too(rows_of, tenant, connect, left):
    """As after a change of test.tenantId."""
    before = rows_of(tenant())
    waiting, ended = await before.add({}), await before.add({})
    connect().execute("UPDATE job_queue SET status = 'completed', next_retry_at = NULL WHERE id = %s", [ended])

    await rows_of(tenant()).remove()

    assert left() == 0
    assert await before.look(waiting) is None


async def test_a_row_of_another_type_stays(rows_of, tenant, connect, left):
    connect().execute("INSERT INTO job_queue (tenant_id, type, payload) VALUES (%s, 'a', '{}')", [tenant()])
    await rows_of(tenant()).remove()
    assert left() == 1


async def test_a_stop_does_not_wait_for_a_statement_that_waits_for_a_lock(rows_of, tenant, connect, left):
    holder = connect(autocommit=False)
    holder.execute("LOCK job_queue IN ACCESS EXCLUSIVE MODE")

    said = await stopped_while_it_waits(connect, rows_of(tenant()), holder)

    step = "the database takes a job: the test was stopped"
    assert said == [f"✗ {step}", f"FAILED: {step}"]
    assert left() == 0


async def test_a_job_that_is_added_while_the_test_is_stopped_is_removed(rows_of, tenant, connect, left):
    owner = tenant()
    holder = connect(autocommit=False)
    holder.execute("SELECT FROM tenants WHERE id = %s FOR UPDATE", [owner])  # the job's foreign key waits for it

    said = await stopped_while_it_waits(connect, rows_of(owner), holder)

    assert said[1:] == ["✓ pool and job are removed", "FAILED: the database takes a job: the test was stopped"]
    assert left() == 0
