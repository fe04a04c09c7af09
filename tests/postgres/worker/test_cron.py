"""A slot is enqueued once, ahead of time, by any number of processes and in spite of errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from jobtide import Tide
from jobtide.cron.scheduler import Scheduler
from jobtide.queue.session import Session
from jobtide.telemetry.events import DatabaseBack, DatabaseLost, SlotRefused, to_all
from jobtide.telemetry.logs import on_event
from jobtide.telemetry.metrics import Metrics
from tests.postgres.worker.conftest import HANDLERS

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
NEXT_THREE_AM = datetime(2026, 11, 25, 3, tzinfo=UTC)


def nightly(*tenants, expression="0 3 * * *"):
    tide = Tide()
    for owner in tenants:
        tide.cron(expression, "nightly", tenant_id=owner, payload={"full": True})(run_nothing)
    return tide.schedules


def run_nothing(payload): ...


@pytest.fixture
def scheduler(database):
    return lambda schedules, url=database, emit=lambda event: None: Scheduler(schedules, Session(lambda: url), emit)


@pytest.fixture
def slots(connect):
    connection = connect()
    return lambda: connection.execute(
        "SELECT next_retry_at FROM job_queue WHERE status = 'pending' ORDER BY 1"
    ).fetchall()


def test_the_next_slot_waits_in_the_table_as_a_scheduled_job(scheduler, tenant, connect):
    owner = tenant()
    rest_seconds = scheduler(nightly(owner)).run_once(NOON)
    found = connect().execute("SELECT tenant_id, type, payload, status::text, next_retry_at FROM job_queue").fetchall()
    assert found == [(owner, "nightly", {"full": True}, "pending", NEXT_THREE_AM)]
    assert rest_seconds == 60


def test_a_pass_waits_until_the_slot_and_then_adds_the_next(scheduler, tenant, slots):
    one = scheduler(nightly(tenant()))
    assert 30 <= one.run_once(NEXT_THREE_AM - timedelta(seconds=30)) <= 31
    one.run_once(NEXT_THREE_AM)
    assert slots() == [(NEXT_THREE_AM,), (NEXT_THREE_AM + timedelta(days=1),)]


def test_a_slot_is_enqueued_once_however_many_processes_do_it(scheduler, tenant, slots):
    schedules = nightly(tenant(), tenant())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: scheduler(schedules).run_once(NOON), range(16)))
    assert slots() == [(NEXT_THREE_AM,)] * 2


def test_a_slot_that_has_ended_is_not_enqueued_again(scheduler, tenant, slots, connect):
    schedules = nightly(tenant())
    scheduler(schedules).run_once(NOON)
    connect().execute("UPDATE job_queue SET status = 'completed'")
    scheduler(schedules).run_once(NOON)
    assert slots() == []


def test_after_a_time_without_workers_only_the_slot_in_the_table_runs(scheduler, tenant, slots):
    schedules = nightly(tenant())
    scheduler(schedules).run_once(NOON)
    scheduler(schedules).run_once(NOON + timedelta(days=10))
    assert slots() == [(NEXT_THREE_AM,), (NEXT_THREE_AM + timedelta(days=10),)]


def test_a_schedule_of_a_deleted_tenant_is_named_and_stops_no_other(scheduler, tenant, slots, caplog):
    deleted, emitted, metrics = uuid4(), [], Metrics()
    scheduler(nightly(deleted, tenant()), emit=to_all(emitted.append, on_event, metrics.on_event)).run_once(NOON)
    assert slots() == [(NEXT_THREE_AM,)]
    (refused,) = emitted
    assert (type(refused), refused.type, refused.tenant) == (SlotRefused, "nightly", str(deleted))
    assert "does its tenant exist?" in caplog.text
    assert 'jobtide_worker_slots_refused_total{type="nightly"} 1' in metrics.render()


def test_an_outage_of_the_database_is_reported_once_and_retried(own_server, own_database, scheduler, tenant, connect):
    owner = tenant(url=own_database)
    emitted = []
    one = scheduler(nightly(owner), own_database, emitted.append)
    own_server.stop("immediate")
    assert all(0 < one.run_once(NOON) <= 10 for _ in range(3))
    own_server.start()
    one.run_once(NOON)
    with connect(own_database) as connection:
        assert connection.execute("SELECT count(*) FROM job_queue").fetchone() == (1,)
    assert [type(event) for event in emitted] == [DatabaseLost, DatabaseBack]


def test_no_connection_is_held_between_two_slots(database, tenant):
    session = Session(lambda: database)
    Scheduler(nightly(tenant()), session, lambda event: None).run_once(NOON)
    assert session._connection is None


def test_workers_enqueue_their_schedules_and_run_them(worker, tenant, connect, wait_until):
    """Two processes, one row a slot; the handler learns its slot."""
    connection = connect()
    owner = str(tenant())
    processes = [worker("nightly:tide", TICK_TENANT=owner) for _ in range(2)]
    wait_until(lambda: all(process.logged("working on tick") for process in processes))
    everything = "SELECT id, next_retry_at, status::text, result FROM job_queue ORDER BY created_at"
    ((id_, slot, *_), *_) = wait_until(lambda: connection.execute(everything).fetchall())
    assert timedelta() < slot - datetime.now(UTC) < timedelta(seconds=61)
    connection.execute("UPDATE job_queue SET next_retry_at = now() WHERE id = %s", [id_])
    result = "SELECT result FROM job_queue WHERE id = %s AND status = 'completed'"
    (found,) = wait_until(lambda: connection.execute(result, [id_]).fetchone())
    assert found == {"slot": slot.isoformat(), "why": "cron"}
    assert [process.end(signal.SIGTERM) for process in processes] == [0, 0]
    assert connection.execute("SELECT count(*) = count(DISTINCT id) FROM job_queue").fetchone() == (True,)


def test_a_worker_of_other_types_leaves_the_schedule_alone(worker, enqueue, tenant, wait_until, statuses):
    owner = tenant()
    process = worker("nightly:tide", TICK_TENANT=str(owner), JOBTIDE_TYPES='["plain"]')
    enqueue("plain", owner)
    wait_until(lambda: statuses() == {"completed": 1})
    assert process.end(signal.SIGTERM) == 0
    assert statuses() == {"completed": 1}


@pytest.fixture
def command(database):
    def run(app, **environment):
        return subprocess.run(
            [sys.executable, "-m", "jobtide", "cron", app], cwd=HANDLERS, capture_output=True, text=True, check=False,
            env={**os.environ, "JOBTIDE_DATABASE_URL": database, **environment},
        )  # fmt: skip

    return run


def test_the_command_adds_the_next_slots_without_a_worker_and_shows_them(command, tenant, slots):
    owner = str(tenant())
    printed = [command("nightly:tide", TICK_TENANT=owner).stdout for _ in range(2)]
    assert all(f"tick  tenant {owner}" in text for text in printed)
    assert " added " in printed[0]
    assert 1 <= len(slots()) == "".join(printed).count(" added ")  # the minute may end in between


@pytest.mark.parametrize(
    ("app", "environment", "reason"),
    [
        pytest.param("jobs:tide", {}, "jobs:tide has no schedules", id="no schedules"),
        pytest.param("nightly:tide", {"TICK_TENANT": str(uuid4())}, "violates foreign key", id="an unknown tenant"),
        pytest.param("nightly:tide", {"TICK_TENANT": str(uuid4()), "JOBTIDE_DATABASE_URL": "postgresql://127.0.0.1:1/x"},
                     "the slots could not be added: ", id="no database"),
    ],
)  # fmt: skip
def test_the_command_fails_with_the_reason(command, app, environment, reason):
    ran = command(app, **environment)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)
    assert reason in ran.stderr
