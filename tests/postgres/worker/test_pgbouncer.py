"""All works through PgBouncer in transaction mode: no session state, startup parameters or named statements."""

from __future__ import annotations

import signal
from urllib.parse import urlsplit

import pytest

from dev.postgres.pgbouncer import PgBouncer
from jobtide.job import End
from jobtide.queue.caps import TenantCaps
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session


@pytest.fixture
def pooler(server):
    with PgBouncer(server=server) as running:
        yield running


@pytest.fixture
def pooled(pooler, database):
    """The test's database, through the pooler."""
    return pooler.url(urlsplit(database).path.lstrip("/"))


@pytest.fixture
def many_jobs(tenant, connect):
    owners = [tenant() for _ in range(4)]
    connect().execute(
        """INSERT INTO job_queue (tenant_id, type, payload)
           SELECT owner, 'echo', to_jsonb(n) FROM unnest(%s::uuid[]) AS owner, generate_series(1, 250) AS n""",
        [owners],
    )
    return 1000


def test_workers_share_a_pooler_with_fewer_connections_than_they_hold(worker, pooled, many_jobs, statuses, wait_until):
    processes = [worker(JOBTIDE_DATABASE_URL=pooled, JOBTIDE_CONCURRENCY="8") for _ in range(4)]
    wait_until(lambda: all(process.logged("working on") for process in processes))
    wait_until(lambda: statuses() == {"completed": many_jobs})
    assert [process.end(signal.SIGTERM) for process in processes] == [0] * 4
    assert not any(process.logged("error") for process in processes)


def test_tenant_caps_hold_through_a_pooler(pooled, many_jobs):
    one, two = (
        PostgresJobQueue(Session(lambda: pooled), pod_uid=pod, lease_seconds=60, caps=TenantCaps(3)) for pod in "ab"
    )
    ring = Ring(("echo",))
    assert len(one.claim(ring, 50, 50).jobs) == 12
    assert two.claim(ring, 50, 50).jobs == []
    one.close()
    two.close()


def test_a_pooler_is_noticed_and_nothing_is_prepared_behind_it(pooled, database):
    behind, direct = Session(lambda: pooled), Session(lambda: database)
    assert behind.connection().prepare_threshold is None
    assert direct.connection().prepare_threshold == 0
    behind.close()
    direct.close()


def test_a_pooler_that_is_restarted_under_load_loses_nothing(worker, pooler, pooled, many_jobs, statuses, wait_until):
    process = worker(JOBTIDE_DATABASE_URL=pooled, JOBTIDE_CONCURRENCY="2")
    for done in (100, 400):
        wait_until(lambda done=done: statuses().get("completed", 0) > done)
        pooler.restart()
    wait_until(lambda: statuses() == {"completed": many_jobs})
    assert process.end(signal.SIGTERM) == 0


def test_an_end_is_fenced_through_a_pooler(pooled, many_jobs):
    queue = PostgresJobQueue(Session(lambda: pooled), pod_uid="pod", lease_seconds=60)
    (job,) = queue.claim(Ring(("echo",)), 1, 1).jobs
    assert queue.finish([End(job, "completed", "1")]) == {job.id}
    assert queue.finish([End(job, "completed", "1")]) == set()
    queue.close()
