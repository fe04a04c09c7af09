"""Limits that are stored in the table hold at the next claim, for workers that run already."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from jobtide.job import End
from jobtide.queue.caps import NO_CAPS, TenantCaps
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Range, Ring
from jobtide.queue.session import Session

POOL = "media/thumbs"
RING = Ring(("a", "b"))


@pytest.fixture
def limited(database):
    """limited(caps=...): a queue of the pool, whose claims look at the stored limits each time."""
    opened = []

    def new(pool: str = POOL, caps: TenantCaps = NO_CAPS, pod_uid: str = "pod") -> PostgresJobQueue:
        queue = PostgresJobQueue(Session(lambda: database), pod_uid=pod_uid, lease_seconds=600, caps=caps, pool=pool)
        opened.append(queue)
        return queue

    yield new
    for one in opened:
        one.close()


@pytest.fixture
def store(connect):
    """store(pool, cap, {tenant: (max_concurrent, weight, until)}, type="") writes what a controller would."""
    connection = connect()

    def write(pool: str, cap: int | None, rows=(), type_: str = "") -> None:
        types = [type_] if rows else []
        connection.execute(
            """INSERT INTO jobtide_pool_limits VALUES (%s, %s, %s) ON CONFLICT (pool) DO UPDATE
               SET max_concurrent = excluded.max_concurrent,
                   types = ARRAY(SELECT DISTINCT unnest(jobtide_pool_limits.types || excluded.types))""",
            [pool, cap, types],
        )
        for tenant_id, (most, weight, until) in dict(rows).items():
            connection.execute(
                """INSERT INTO jobtide_tenant_limits VALUES (%s, %s, %s, %s, %s, %s)
                   ON CONFLICT (pool, tenant_id, type) DO UPDATE
                   SET max_concurrent = excluded.max_concurrent, weight = excluded.weight, until = excluded.until""",
                [pool, tenant_id, type_, most, weight, until or "infinity"],
            )

    return write


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
    queue.limits.expire()
    return queue.claim(ring, wanted, wanted).jobs


def by_tenant(jobs):
    return Counter(job.tenant_id for job in jobs)


PAST, FUTURE = "2001-01-01T00:00:00Z", "2200-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("own", "shared", "cap", "claimed"),
    [
        pytest.param(None, None, 3, 3, id="the pool's limit"),
        pytest.param((5, None, None), None, 3, 5, id="the pool's own row before its limit"),
        pytest.param(None, (4, None, None), 3, 4, id="the view before the pool's limit"),
        pytest.param((5, None, None), (4, None, None), 3, 5, id="the pool's own row before the view"),
        pytest.param((None, 2, None), (4, None, None), 3, 4, id="a row that says nothing of it leaves the view's"),
        pytest.param((5, None, PAST), (4, None, None), 3, 4, id="a row that is over leaves the view's"),
        pytest.param((5, None, PAST), (4, None, PAST), 3, 3, id="rows that are over leave the pool's limit"),
        pytest.param((0, None, FUTURE), (4, None, None), 3, 0, id="a pause with an end"),
        pytest.param((0, None, PAST), None, None, 20, id="a pause that is over"),
        pytest.param(None, (0, None, None), None, 0, id="a pause by the view"),
        pytest.param(None, None, None, 20, id="no limit"),
    ],
)
def test_the_first_source_that_says_it_counts(limited, tenant, fill, store, own, shared, cap, claimed):
    owner = tenant()
    fill(owner, 20)
    store(POOL, cap, {owner: own} if own else {})
    store("", None, {owner: shared} if shared else {})
    assert len(claim(limited())) == claimed


def test_a_limit_of_one_type_holds_beside_that_of_all(limited, tenant, fill, store):
    owner = tenant()
    fill(owner, 20, "a")
    fill(owner, 20, "b")
    store(POOL, 5)
    store("", None, {owner: (2, None, None)}, type_="a")
    jobs = claim(limited())
    assert len(jobs) == 5
    assert Counter(job.type for job in jobs)["a"] <= 2
    store(POOL, 9)
    assert Counter(job.type for job in [*jobs, *claim(limited())]) == {"a": 2, "b": 7}


def test_a_claim_that_walks_a_part_of_the_lap_counts_the_jobs_of_all_types(limited, tenant, fill, store):
    """After many claims a worker searches single keys of one type: the cap still counts the other type's jobs."""
    owner = tenant()
    fill(owner, 20, "a")
    fill(owner, 20, "b")
    store(POOL, 5)
    queue = limited()
    assert len(claim(queue)) == 5
    part = (Range("a", owner.int, owner.int), Range("b", owner.int, owner.int))
    assert [queue._claim_rows((one,), 5, 5, "jobtide:pod:t") for one in part] == [[], []]


def test_a_change_holds_at_the_next_claim_of_a_running_worker(limited, tenant, fill, store):
    owner = tenant()
    fill(owner, 20)
    store(POOL, 2)
    queue = limited()
    first = claim(queue)
    assert (len(first), claim(queue)) == (2, [])
    store(POOL, 4)
    assert len(claim(queue)) == 2
    store(POOL, 4, {owner: (0, None, None)})
    queue.finish([End(job, "completed", "1") for job in first])
    assert claim(queue) == []


def test_limits_of_the_environment_count_until_the_controller_has_stored_those_of_the_pool(
    limited, tenant, fill, store, connect
):
    owner = tenant()
    fill(owner, 20)
    queue = limited(caps=TenantCaps(2))
    assert len(claim(queue)) == 2
    store(POOL, 5)
    assert len(claim(queue)) == 3
    store("another/pool", 9)
    assert claim(queue) == []
    connect().execute("DROP TABLE jobtide_pool_limits, jobtide_tenant_limits")
    older = limited(caps=TenantCaps(overrides={owner: 7}))
    assert len(claim(older)) == 2


def test_limits_that_were_removed_from_the_pool_do_not_come_back_from_the_environment(limited, tenant, fill, store):
    """A Deployment keeps the variables that it has, for workers of an earlier version."""
    owner, paused = tenant(), tenant()
    fill(owner, 20)
    fill(paused, 20)
    queue = limited(caps=TenantCaps(2, {paused: 0}))
    assert len(claim(queue)) == 2
    store(POOL, None)
    assert len(claim(queue)) == 38


def test_a_role_that_may_not_read_the_limits_is_reported_once_and_claims_by_its_environment(
    limited, tenant, fill, store, database
):
    owner = tenant()
    fill(owner, 20)
    store(POOL, 9)
    queue = limited(caps=TenantCaps(2))
    called = []
    queue.limits.denied = lambda: called.append(1)
    queue._session.connection().execute("SET ROLE service_role")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("REVOKE SELECT ON jobtide_pool_limits FROM service_role")
        assert len(claim(queue)) == 2
        assert claim(queue) == []
        assert called == [1]


def test_a_worker_of_no_pool_keeps_the_limits_of_all_pools(limited, tenant, fill, store):
    owner = tenant()
    fill(owner, 20)
    store("", None, {owner: (3, None, None)})
    assert len(claim(limited(pool="", caps=TenantCaps(4)))) == 4
    assert claim(limited(pool="")) == []


def test_without_limits_the_claim_is_the_plain_one(limited, tenant, fill, store):
    fill(tenant(), 3)
    store(POOL, None)
    queue = limited()
    assert len(claim(queue)) == 3
    assert not queue.limits.kinds


@pytest.mark.parametrize("wanted", [1, 2, 3, 7, 16, 50])
def test_shares_are_as_the_weights_and_no_tenant_waits_longer_than_a_round(limited, tenant, fill, store, wanted):
    """Weights 5, 3, 1, 1: of 200 jobs 100, 60, 20 and 20, whatever number a worker claims at once."""
    weights = {tenant(): weight for weight in (5, 3, 1, 1)}
    for owner in weights:
        fill(owner, 250)
    store(POOL, None, {owner: (None, weight, None) for owner, weight in weights.items()})
    queue, ring, per_key, order = limited(), RING, 1, []
    while len(order) < 200:
        taken = queue.claim(ring, wanted, min(wanted, per_key))
        ring, per_key = taken.ring, taken.rows_per_key
        order += [job.tenant_id for job in taken.jobs]
    shares = Counter(order[:200])
    for owner, weight in weights.items():
        assert shares[owner] == pytest.approx(20 * weight, abs=max(5, wanted))
    longest = max(wanted, 10) * 2
    for start in range(0, 200 - longest, 10):
        assert set(order[start : start + longest]) == set(weights)


def test_a_weight_takes_no_place_from_others_when_its_tenant_has_no_jobs(limited, tenant, fill, store):
    heavy, light = tenant(), tenant()
    fill(heavy, 2)
    fill(light, 30)
    store(POOL, None, {heavy: (None, 100, None)})
    queue, ring, taken = limited(), RING, []
    for _ in range(32):
        found = queue.claim(ring, 1, 1)
        ring = found.ring
        taken += found.jobs
    assert by_tenant(taken) == {heavy: 2, light: 30}


def test_tenants_without_a_cap_are_not_locked_against_each_others_claims(limited, tenant, fill, store, connect):
    free, paused = tenant(), tenant()
    fill(free, 10)
    store(POOL, None, {paused: (0, None, None)})
    other = connect(autocommit=False)
    other.execute("SELECT pg_advisory_xact_lock(hashtextextended('jobtide ' || %s::uuid, 0))", [free])
    assert len(claim(limited())) == 10
    other.rollback()


def test_a_cap_that_changes_while_workers_race_is_never_exceeded(limited, tenant, fill, store, connect):  # noqa: C901
    """Caps of 1 to 3 that rise and fall, and pauses, with twelve workers: never more run than the highest cap."""
    owners = [tenant() for _ in range(4)]
    for owner in owners:
        fill(owner, 80, "a")
        fill(owner, 20, "b")
    watching, exceeded, over = connect(), [], threading.Event()
    store(POOL, 1)

    def watch():
        while not over.is_set():
            rows = watching.execute(
                "SELECT tenant_id, count(*) FROM job_queue WHERE status = 'processing' GROUP BY 1 HAVING count(*) > 3"
            )
            exceeded.extend(f"{owner}: {running}" for owner, running in rows)

    def change():
        dice = random.Random(1)
        while not over.is_set():
            store(POOL, 1, {owner: (dice.choice([0, 1, 2, 3]), dice.choice([None, 3]), None) for owner in owners})
            over.wait(0.02)
        store(POOL, 3, dict.fromkeys(owners, (3, None, None)))

    def work(number):
        queue, dice, ring, done = limited(pod_uid=f"pod-{number}"), random.Random(number), RING, 0
        while remaining(queue):
            taken = queue.claim(ring, dice.randint(1, 4), 4)
            ring = taken.ring
            done += len(queue.finish([End(job, "completed", "1") for job in taken.jobs])) if taken.jobs else 0
        return done

    def remaining(queue):
        return queue._session.execute("SELECT count(*) AS left FROM job_queue WHERE status <> 'completed'", {})[0][
            "left"
        ]

    threads = [threading.Thread(target=watch), threading.Thread(target=change)]
    for thread in threads:
        thread.start()
    with ThreadPoolExecutor(12) as pool:
        done = sum(pool.map(work, range(12)))
    over.set()
    for thread in threads:
        thread.join(10)
    assert exceeded == []
    assert done == 400


def test_a_paused_tenant_starts_nothing_in_a_running_worker_and_starts_when_the_pause_ends(
    worker, tenant, store, connect, wait_until
):
    owner, connection = tenant(), connect()
    store(POOL, None, {owner: (0, None, None)})
    process = worker(JOBTIDE_POOL=POOL, JOBTIDE_POLL_SECONDS="1")
    add = "INSERT INTO job_queue (tenant_id, type, payload) VALUES (%s, 'echo', '1')"
    connection.execute(add, [owner])
    connection.execute(add, [tenant()])
    count = "SELECT count(*) FROM job_queue WHERE status = %s"
    wait_until(lambda: connection.execute(count, ["completed"]).fetchone() == (1,))
    assert connection.execute(count, ["pending"]).fetchone() == (1,)
    connection.execute("UPDATE jobtide_tenant_limits SET until = now() - interval '1 s'")
    wait_until(lambda: connection.execute(count, ["pending"]).fetchone() == (0,))
    assert process.popen.poll() is None


def test_a_notification_of_a_change_ends_what_a_resting_worker_believes(worker, tenant, store, connect, wait_until):
    """By itself it looks once in 30 s, so a job that it does not claim shows that it was notified."""
    owner, connection = tenant(), connect()
    store(POOL, None)
    worker(JOBTIDE_POOL=POOL, JOBTIDE_POLL_SECONDS="1")
    rests = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted"
    wait_until(lambda: connection.execute(rests).fetchone() == (True,))
    with connection.transaction():
        store(POOL, None, {owner: (0, None, None)})
        connection.execute("SELECT pg_notify('jobtide', '')")
    connection.execute("INSERT INTO job_queue (tenant_id, type, payload) VALUES (%s, 'echo', '1')", [owner])
    connection.execute("INSERT INTO job_queue (tenant_id, type, payload) VALUES (%s, 'echo', '1')", [tenant()])
    count = "SELECT count(*) FROM job_queue WHERE status = %s"
    wait_until(lambda: connection.execute(count, ["completed"]).fetchone() == (1,))
    assert connection.execute(count, ["pending"]).fetchone() == (1,)
