"""A tenant never runs more than its cap, and a cap never leaves a place idle that other jobs could fill."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from jobtide.job import End
from jobtide.queue.caps import TenantCaps
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session

RING = Ring(("a", "b"))


@pytest.fixture
def capped(database):
    opened = []

    def new(caps: TenantCaps, pod_uid: str = "pod") -> PostgresJobQueue:
        opened.append(PostgresJobQueue(Session(lambda: database), pod_uid=pod_uid, lease_seconds=600, caps=caps))
        return opened[-1]

    yield new
    for one in opened:
        one.close()


@pytest.fixture
def fill(connect):
    connection = connect()

    def insert(tenant_id, rows, type_="a"):
        connection.execute(
            "INSERT INTO job_queue (tenant_id, type) SELECT %s, %s FROM generate_series(1, %s)",
            [tenant_id, type_, rows],
        )

    return insert


def claim(queue, wanted=50, ring=RING):
    return queue.claim(ring, wanted, wanted).jobs


def by_tenant(jobs):
    return Counter(job.tenant_id for job in jobs)


def test_a_tenant_gets_its_cap_and_other_tenants_the_other_places(capped, tenant, fill):
    noisy, quiet = tenant(), tenant()
    fill(noisy, 100)
    fill(quiet, 3)
    assert by_tenant(claim(capped(TenantCaps(5)))) == {noisy: 5, quiet: 3}


def test_the_cap_counts_all_types_of_the_pool_and_no_others(capped, tenant, fill, enqueue):
    owner = tenant()
    fill(owner, 10, "a")
    fill(owner, 10, "b")
    for _ in range(3):
        enqueue("elsewhere", owner, status="processing", worker_id="another")
    queue = capped(TenantCaps(4))
    assert len(claim(queue)) == 4
    assert claim(queue) == []


def test_a_search_before_the_mark_of_one_type_counts_the_other_types_too(capped, tenant, fill, enqueue):
    owner, queue = tenant(), capped(TenantCaps(2))
    fill(owner, 60, "a")
    while jobs := claim(queue):
        queue.finish([End(job, "completed", "1") for job in jobs])
    fill(owner, 2, "b")
    assert len(claim(queue)) == 2
    enqueue("a", owner, created_at=datetime.now(UTC) - timedelta(hours=1))
    for _ in range(3):
        queue._low_water._search_at = 0.0  # as after the wait that the claim asked for
        assert claim(queue) == []


def test_an_override_comes_before_the_cap(capped, tenant, fill):
    large, small, usual = tenant(), tenant(), tenant()
    for owner in (large, small, usual):
        fill(owner, 20)
    jobs = claim(capped(TenantCaps(3, {large: 10, small: 1})))
    assert by_tenant(jobs) == {large: 10, small: 1, usual: 3}


def test_overrides_alone_leave_the_others_without_a_limit(capped, tenant, fill):
    limited, free = tenant(), tenant()
    fill(limited, 20)
    fill(free, 20)
    assert by_tenant(claim(capped(TenantCaps(overrides={limited: 2})))) == {limited: 2, free: 20}


def test_a_cap_of_zero_stops_a_tenant(capped, tenant, fill):
    owner = tenant()
    fill(owner, 5)
    assert claim(capped(TenantCaps(overrides={owner: 0}))) == []


def test_an_end_makes_room_at_once(capped, tenant, fill):
    owner = tenant()
    fill(owner, 5)
    queue = capped(TenantCaps(2))
    first, _ = claim(queue)
    assert claim(queue) == []
    queue.finish([End(first, "completed", "1")])
    assert len(claim(queue)) == 1


def test_a_full_tenant_early_in_the_lap_does_not_hide_one_with_room_behind_it(capped, connect, fill):
    owners = [uuid4() for _ in range(40)]
    with connect() as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO tenants (id) VALUES (%s)", [(owner,) for owner in owners])
    for owner in owners:
        fill(owner, 2)
    queue = capped(TenantCaps(1))
    assert len(by_tenant(claim(queue, wanted=39))) == 39
    (last,) = claim(queue, wanted=1)
    assert by_tenant(claim(queue, wanted=5)) == {}
    assert last.tenant_id in owners


def test_a_tenant_that_another_claim_has_locked_is_skipped_and_not_waited_for(capped, tenant, fill, connect):
    held, free = tenant(), tenant()
    fill(held, 5)
    fill(free, 5)
    other = connect(autocommit=False)
    other.execute("SELECT pg_advisory_xact_lock(hashtextextended('jobtide ' || %s::uuid, 0))", [held])
    assert by_tenant(claim(capped(TenantCaps(5)))) == {free: 5}
    other.rollback()


def test_racing_workers_never_exceed_a_cap_and_lose_no_job(capped, tenant, fill, connect):
    """Twelve workers, caps of 1 to 3; after every claim the running jobs are counted in the table."""
    limits = {tenant(): 1 + number % 3 for number in range(5)}
    for owner in limits:
        fill(owner, 60, "a")
        fill(owner, 20, "b")
    watching, exceeded, over = connect(), [], threading.Event()

    def watch():
        while not over.is_set():
            rows = watching.execute("SELECT tenant_id, count(*) FROM job_queue WHERE status = 'processing' GROUP BY 1")
            exceeded.extend(f"{owner}: {running}" for owner, running in rows if running > limits[owner])

    def work(number):
        queue, dice, ring, done = capped(TenantCaps(1, limits), f"pod-{number}"), random.Random(number), RING, 0
        while connect_remaining(queue):
            taken = queue.claim(ring, dice.randint(1, 4), 4)
            ring = taken.ring
            done += len(queue.finish([End(job, "completed", "1") for job in taken.jobs])) if taken.jobs else 0
        return done

    def connect_remaining(queue):
        rows = queue._session.execute("SELECT count(*) AS left FROM job_queue WHERE status <> 'completed'", {})
        return rows[0]["left"]

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(12) as pool:
        done = sum(pool.map(work, range(12)))
    over.set()
    watcher.join(10)
    assert exceeded == []
    assert done == 400


def test_a_worker_process_keeps_its_cap_and_stays_busy(worker, tenant, fill, connect, wait_until):
    """Under a cap of one the next job starts when the last one ends, not at the next poll."""
    owner, connection = tenant(), connect()
    connection.execute(
        "INSERT INTO job_queue (tenant_id, type, payload) SELECT %s, 'echo', '1' FROM generate_series(1, 200)", [owner]
    )
    worker(JOBTIDE_TENANT_MAX_CONCURRENT="1", JOBTIDE_CONCURRENCY="4", JOBTIDE_POLL_SECONDS="60")
    count = "SELECT count(*) FROM job_queue WHERE status = 'completed'"
    wait_until(lambda: connection.execute(count).fetchone() == (200,))
