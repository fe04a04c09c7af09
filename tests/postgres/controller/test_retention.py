"""Deletes ended jobs with the controller's own role: the port's contract, what the role may not, and the plans."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing

import pytest

from dev.machine.wait import wait_until
from jobtide_controller.decide.retention import Batch, Policy, advanced, begun, next_batch
from jobtide_controller.loop.ports import DeletionFailedError
from jobtide_controller.postgres.database import Database
from jobtide_controller.postgres.readings import Limits
from tests.contracts.loop_ports import DAY, DeletionContract


class DatabaseWorld:
    def __init__(self, source, insert, app, connect) -> None:
        self.source, self._insert, self._app, self._connect = source, insert, app, connect

    async def put(self, type_, status, *, ended_days, created_days=None):
        job = self._insert(type_, status=status, age_seconds=(created_days or ended_days) * DAY + 60)
        if status in {"completed", "failed"}:
            self._app.execute(
                "UPDATE job_queue SET completed_at = now() - %s * interval '1 day' WHERE id = %s", [ended_days, job]
            )

    async def left(self):
        rows = self._app.execute("SELECT type, status::text FROM job_queue").fetchall()
        return sorted(tuple(row) for row in rows)

    @asynccontextmanager
    async def locked(self):
        other = self._connect(autocommit=False)
        other.execute("SELECT FROM job_queue FOR UPDATE")
        yield
        other.rollback()


@pytest.fixture
def new_world(database, configure, urls, insert, app, connect) -> Iterator[Callable[..., DatabaseWorld]]:
    """Logs in as a member of the controller's group, which RLS applies to."""
    name = f"controller_{uuid.uuid4().hex}"
    app.execute(f"CREATE ROLE {name} LOGIN IN ROLE jobtide_controller")
    configure(database.replace("postgres@", f"{name}@", 1))
    with ExitStack() as opened:

        def new(**options):
            source = opened.enter_context(closing(Database("main", urls, Limits(), **options)))
            return DatabaseWorld(source, insert, app, connect)

        yield new


@pytest.fixture
def world(new_world):
    return new_world()


@pytest.fixture
def patient(new_world):
    """Its batches wait for locks."""
    return new_world(lock_seconds=20)


class TestDeletion(DeletionContract):
    pass


OLD = Batch("completed", {"a": DAY}, None, 100, 200)


async def test_a_job_without_an_end_counts_from_its_creation_and_one_without_creation_stays(world, app, insert):
    insert("a", status="completed", age_seconds=2 * DAY)
    kept = insert("a", status="completed", age_seconds=2 * DAY)
    app.execute("UPDATE job_queue SET created_at = NULL WHERE id = %s", [kept])
    assert (await world.source.delete_ended(OLD)).rows == {"a": 1}
    assert app.execute("SELECT id FROM job_queue").fetchall() == [(kept,)]


async def test_a_job_that_is_set_back_at_the_same_moment_stays(patient, app, connect):
    """The row is unlocked within the time that the statement waits for it."""
    await patient.put("a", "completed", ended_days=2)
    other = connect(autocommit=False)
    other.execute("UPDATE job_queue SET status = 'pending', completed_at = NULL")
    deleting = asyncio.create_task(patient.source.delete_ended(OLD))
    await until_blocked(app)
    other.commit()
    assert (await deleting).rows == {}
    assert await patient.left() == [("a", "pending")]


async def until_blocked(app):
    """Returns when a statement waits for a lock."""
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
    await asyncio.to_thread(wait_until, "a lock that is waited for", lambda: app.execute(waiting).fetchone()[0])


async def test_thousands_of_jobs_of_one_moment_are_deleted_beside_kept_ones(world, app, tenant):
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, status, created_at, completed_at) "
        "SELECT CASE WHEN i %% 2 = 0 THEN 'a' ELSE 'kept' END, %s, 'completed', now() - interval '2 days', "
        "now() - interval '2 days' FROM generate_series(1, 3000) AS i",
        [tenant("one")],
    )
    walk, batches = begun(Policy({"a": DAY})), 0
    while (batch := next_batch(walk)) is not None:
        walk, batches = advanced(walk, batch, await world.source.delete_ended(batch)), batches + 1
    assert walk.deleted == {"a": 1500}
    assert app.execute("SELECT count(*) FROM job_queue WHERE type = 'kept'").fetchone() == (1500,)
    assert batches < 10


@pytest.mark.parametrize("status", ["pending", "processing"])
async def test_the_role_deletes_no_job_that_has_not_ended(world, app, status):
    await world.put("a", status, ended_days=100)
    await world.put("a", "failed", ended_days=100)
    deleted = world.source._deletion.run("DELETE FROM job_queue RETURNING status::text", {}, timeout_seconds=5)
    assert [row["status"] for row in deleted] == ["failed"]
    assert await world.left() == [("a", status)]
    assert (await world.source.delete_ended(OLD._replace(status=status))).rows == {}


async def test_a_role_without_the_right_gets_the_command_that_grants_it(world, app):
    await world.put("a", "completed", ended_days=2)
    app.execute("REVOKE DELETE ON job_queue FROM jobtide_controller")
    with pytest.raises(DeletionFailedError, match="jobtide schema apply --roles"):
        await world.source.delete_ended(OLD)
    app.execute("GRANT DELETE ON job_queue TO jobtide_controller")
    assert (await world.source.delete_ended(OLD)).rows == {"a": 1}


async def test_a_foreign_key_to_the_table_is_named_with_what_to_do(world, app):
    await world.put("a", "completed", ended_days=2)
    app.execute("CREATE TABLE invoices (job uuid REFERENCES job_queue); INSERT INTO invoices SELECT id FROM job_queue")
    with pytest.raises(DeletionFailedError, match=r"invoices.*ON DELETE"):
        await world.source.delete_ended(OLD)


async def test_an_outage_is_a_failure_and_the_next_batch_connects_again(world, app):
    await world.put("a", "completed", ended_days=2)
    await world.source.delete_ended(OLD._replace(most=0))
    app.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE starts_with(application_name, 'jobtide-controller/')"
    )
    with pytest.raises(DeletionFailedError, match="Unreachable"):
        await world.source.delete_ended(OLD)
    assert (await world.source.delete_ended(OLD)).rows == {"a": 1}


async def test_a_reading_does_not_wait_for_a_batch(patient, app):
    """Both have a connection of their own."""
    await patient.put("a", "completed", ended_days=2)
    async with patient.locked():
        deleting = asyncio.create_task(patient.source.delete_ended(OLD))
        await until_blocked(app)
        assert (await patient.source.read(["a"], {})).depths == {}
    assert (await deleting).rows == {"a": 1}
    await patient.source.disconnect()
    backends = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE starts_with(application_name, 'jobtide-controller/') AND datname = current_database()"
    )
    await asyncio.to_thread(wait_until, "no connection", lambda: app.execute(backends).fetchone() == (0,))


@pytest.mark.parametrize("keeps", ["trigger", "policy"])
async def test_rows_of_one_moment_that_the_server_keeps_without_an_error_do_not_hold_up_the_pass(
    world, app, tenant, keeps
):
    """A user's trigger that archives a job and returns NULL, or a policy that hides it from the DELETE."""
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, status, created_at, completed_at) "
        "SELECT 'a', %s, 'completed', now() - interval '3 days', now() - interval '3 days' "
        "FROM generate_series(1, 1000) AS i",
        [tenant("one")],
    )
    await world.put("a", "failed", ended_days=2)
    app.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER keep "
        "BEFORE DELETE ON job_queue FOR EACH ROW WHEN (OLD.status = 'completed') EXECUTE FUNCTION keep();"
        if keeps == "trigger"
        else "CREATE POLICY keep ON job_queue AS RESTRICTIVE FOR DELETE USING (status <> 'completed')"
    )
    walk, batches = begun(Policy({"a": DAY}, {"a": DAY})), 0
    while (batch := next_batch(walk)) is not None and batches < 20:
        walk, batches = advanced(walk, batch, await world.source.delete_ended(batch)), batches + 1
    assert (walk.statuses, walk.deleted) == ((), {"a": 1})
