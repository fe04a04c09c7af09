"""Where types have promises of their own, the one that is nearest to breaking its promise is claimed first."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from jobtide.commands import settings
from jobtide.commands.worker import _claim_queue
from jobtide.job import End
from jobtide.queue.caps import NO_CAPS, TenantCaps
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.promised import PromisedQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import DatabaseUnreachable, Session
from jobtide.queue.urgency import PASSED_CLAIMS, PASSED_SHARE

TYPES = ("thumbs", "video", "text")
PROMISES = {"thumbs": 30.0, "video": 600.0, "text": 30.0}
RING = Ring(TYPES)


@pytest.fixture
def promised(database):
    opened = []

    def new(promises=PROMISES, caps=NO_CAPS, pool=None, pod_uid="pod-1") -> PromisedQueue:
        options = {"pod_uid": pod_uid, "lease_seconds": 60.0, "caps": caps, "pool": pool}
        opened.append(PromisedQueue(Session(lambda: database), types=TYPES, promises=promises, **options))
        return opened[-1]

    yield new
    for one in opened:
        one.close()


@pytest.fixture
def fill(connect):
    connection = connect()

    def insert(type_, tenant_id, rows=1, waited=0.0):
        connection.execute(
            "INSERT INTO job_queue (tenant_id, type, created_at) "
            "SELECT %s, %s, now() - %s * interval '1 s' FROM generate_series(1, %s)",
            [tenant_id, type_, waited, rows],
        )

    return insert


def claimed(queue, wanted=1, claims=1):
    """The types of the claimed jobs, in order."""
    return [job.type for _ in range(claims) for job in queue.claim(RING, wanted, wanted).jobs]


def aware(queue):
    """After a claim that left jobs: the next one looks at how long the jobs of each type have waited."""
    queue._look_at = 0.0
    return queue


@pytest.mark.parametrize(
    ("waited", "expected"),
    [
        pytest.param({"video": 100, "thumbs": 20}, "thumbs", id="20 s of 30 before 100 s of 600"),
        pytest.param({"video": 535, "thumbs": 1}, "video", id="the long promise is nearly over"),
        pytest.param({"video": 100}, "video", id="only one waits"),
        pytest.param({"video": 0, "thumbs": 0}, "thumbs", id="all just inserted"),
    ],
)
def test_the_type_nearest_to_breaking_its_promise_is_claimed_first(promised, tenant, fill, waited, expected):
    owner = tenant()
    for type_, seconds in waited.items():
        fill(type_, owner, 5, seconds)
    assert claimed(aware(promised())) == [expected]


def test_an_idle_worker_gives_jobs_that_arrive_together_to_the_shorter_promise(promised, tenant, fill):
    queue = promised()
    assert queue.claim(RING, 4, 4).drained
    fill("video", tenant(), 50)
    fill("thumbs", tenant(), 50)
    assert claimed(queue, wanted=4) == ["thumbs"] * 4


def test_what_the_urgent_type_leaves_goes_to_the_next(promised, tenant, fill):
    fill("thumbs", tenant(), 3, 20)
    for _ in range(20):
        fill("video", tenant())
    queue = promised()
    assert claimed(queue, claims=2) == ["thumbs"] * 2
    assert claimed(queue, wanted=10, claims=2) == ["thumbs", *["video"] * 10]


def test_all_jobs_are_claimed_once_and_then_the_queue_is_drained(promised, tenant, fill):
    for type_ in TYPES:
        for _ in range(3):
            fill(type_, tenant(), 7)
    queue, found = promised(), []
    while not (claim := queue.claim(RING, 4, 4)).drained or claim.jobs:
        found += claim.jobs
    assert len({job.id for job in found}) == len(found) == 63


def test_workers_that_claim_at_once_share_the_jobs(promised, tenant, fill):
    for type_ in TYPES:
        fill(type_, tenant(), 60, 20)
        fill(type_, tenant(), 60)

    def work(queue):
        found = []
        while (claim := queue.claim(RING, 3, 3)).jobs or not claim.drained:
            found += [job.id for job in claim.jobs]
        return found

    with ThreadPoolExecutor(4) as pool:
        found = [id_ for ids in pool.map(work, [promised() for _ in range(4)]) for id_ in ids]
    assert len(found) == len(set(found)) == 360


def test_tenants_and_types_with_one_promise_take_turns(promised, tenant, fill):
    noisy, quiet = tenant(), tenant()
    fill("thumbs", noisy, 1_000, 20)
    fill("text", quiet, 1)
    assert set(claimed(aware(promised()), claims=2)) == {"thumbs", "text"}


def test_a_type_far_from_its_promise_moves_under_a_flood_of_another(promised, tenant, fill):
    fill("thumbs", tenant(), 500, 3_000)
    fill("video", tenant(), 5)
    queue = aware(promised())
    assert claimed(queue, claims=PASSED_CLAIMS) == ["thumbs"] * PASSED_CLAIMS
    queue._groups[1].passed_since -= PASSED_SHARE * PROMISES["video"]  # so much later
    assert claimed(queue, claims=3) == ["video", "thumbs", "thumbs"]


def test_types_beyond_their_promises_take_turns(promised, tenant, fill):
    fill("thumbs", tenant(), 500, 3_000)
    fill("video", tenant(), 500, 700)
    served = Counter(claimed(aware(promised()), claims=60))
    assert min(served["thumbs"], served["video"]) >= 25


def test_a_limit_of_a_tenant_counts_the_types_of_every_promise(promised, tenant, fill):
    owner, other = tenant(), tenant()
    fill("thumbs", owner, 10, 20)
    fill("video", owner, 10, 20)
    fill("video", other, 2)
    queue = promised(caps=TenantCaps(3))
    jobs = [job for _ in range(6) for job in queue.claim(RING, 8, 8).jobs]
    assert Counter(job.tenant_id for job in jobs) == {owner: 3, other: 2}


def test_limits_that_change_hold_over_all_promises_while_workers_race(promised, tenant, fill, connect):
    """Eight workers, caps of 0 to 2 and weights that change each 20 ms: never 3 at once, and a pause holds."""
    owners, paused = [tenant() for _ in range(4)], tenant()
    for owner in (*owners, paused):
        for type_ in TYPES:
            fill(type_, owner, 25, 20)
    watching, table, exceeded, over = connect(), connect(), [], threading.Event()
    table.execute("INSERT INTO jobtide_pool_limits VALUES ('a/x', 2, '{\"\"}')")
    table.execute("INSERT INTO jobtide_tenant_limits VALUES ('a/x', %s, '', 0)", [paused])
    change = """INSERT INTO jobtide_tenant_limits VALUES ('a/x', %s, '', %s, %s) ON CONFLICT (pool, tenant_id, type)
                DO UPDATE SET max_concurrent = excluded.max_concurrent, weight = excluded.weight"""
    seen = """SELECT tenant_id, count(*) FROM job_queue WHERE status = 'processing' OR (status <> 'pending'
              AND tenant_id = %(paused)s) GROUP BY 1 HAVING count(*) > 2 OR tenant_id = %(paused)s"""

    def interfere():
        dice = random.Random(1)
        while not over.wait(0.02):
            for owner in owners:
                table.execute(change, [owner, dice.choice([0, 1, 2, None]), dice.choice([None, 3])])
            exceeded.extend(watching.execute(seen, {"paused": paused}).fetchall())
        for owner in owners:
            table.execute(change, [owner, 2, None])

    def work(number):
        queue, dice, done = promised(pool="a/x", pod_uid=f"pod-{number}"), random.Random(number), 0
        left = "SELECT count(*) AS rows FROM job_queue WHERE status <> 'completed' AND tenant_id <> %(paused)s"
        while queue._session.execute(left, {"paused": paused})[0]["rows"]:
            jobs = queue.claim(RING, dice.randint(1, 6), 6).jobs
            done += len(queue.finish([End(job, "completed", "1") for job in jobs])) if jobs else 0
        return done

    interfering = threading.Thread(target=interfere)
    interfering.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(8))) == 300
    finally:
        over.set()
        interfering.join(10)
    assert exceeded == []


@pytest.mark.parametrize("where", ["table", "environment"])
@pytest.mark.parametrize("cap", [0, 2], ids=["paused", "full"])
def test_jobs_that_a_limit_holds_back_do_not_make_their_type_urgent(promised, tenant, fill, connect, cap, where):
    """Else each look would have a fresh video of another tenant claimed before thumbnails that wait for 20 s of 30."""
    limited, other = tenant(), tenant()
    fill("video", limited, cap)
    queue = promised(caps=TenantCaps(overrides={limited: cap}))
    assert len(claimed(queue, wanted=9, claims=3)) == cap
    if where == "table":
        table = connect()
        table.execute("INSERT INTO jobtide_pool_limits VALUES ('a/x', NULL, '{\"\"}')")
        table.execute("INSERT INTO jobtide_tenant_limits VALUES ('a/x', %s, '', %s)", [limited, cap])
        queue = promised(pool="a/x")
    else:
        connect().execute("DROP TABLE jobtide_pool_limits, jobtide_tenant_limits")
    fill("video", limited, 5, 3_000)
    fill("video", other, 20, 1)
    fill("thumbs", other, 20, 20)
    assert [claimed(aware(queue)) for _ in range(4)] == [["thumbs"]] * 4
    assert Counter(claimed(queue, wanted=50, claims=4)) == {"thumbs": 16, "video": 20}


def test_a_limit_that_is_raised_makes_its_types_urgent_again(promised, tenant, fill, connect):
    limited, other, table = tenant(), tenant(), connect()
    table.execute("INSERT INTO jobtide_pool_limits VALUES ('a/x', NULL, '{\"\"}')")
    table.execute("INSERT INTO jobtide_tenant_limits VALUES ('a/x', %s, '', 0)", [limited])
    fill("video", limited, 5, 3_000)
    fill("thumbs", other, 20, 20)
    queue = promised(pool="a/x")
    assert claimed(aware(queue)) == ["thumbs"]
    table.execute("UPDATE jobtide_tenant_limits SET max_concurrent = 1")
    assert claimed(aware(queue)) == ["video"]


def test_a_failure_of_a_later_claim_loses_no_job_of_an_earlier_one(promised, tenant, fill, monkeypatch):
    fill("thumbs", tenant(), 1)
    queue = promised()

    def fails(*_):
        raise DatabaseUnreachable("gone")

    monkeypatch.setattr(queue._groups[1].queue, "claim", fails)
    queue.claim(RING, 4, 1)  # as the first, it takes one of each key
    fill("thumbs", tenant(), 1)
    claim = queue.claim(RING, 4, 4)
    assert ([job.type for job in claim.jobs], claim.drained) == (["thumbs"], False)
    with pytest.raises(DatabaseUnreachable):
        queue.claim(RING, 4, 4)


@pytest.mark.parametrize("created_at", [None, "0001-01-01", "-infinity", "infinity"])
def test_hostile_times_neither_stop_a_look_nor_hide_a_job(promised, tenant, fill, enqueue, created_at):
    enqueue("thumbs", tenant(), created_at=created_at)
    fill("video", tenant(), 3, 590)
    found = claimed(aware(promised()), claims=4)
    assert Counter(found) == {"video": 3, **({} if created_at == "infinity" else {"thumbs": 1})}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        pytest.param("", PostgresJobQueue, id="none"),
        pytest.param('{"thumbs": 60, "video": 60, "text": 60}', PostgresJobQueue, id="equal ones"),
        pytest.param('{"thumbs": 60}', PostgresJobQueue, id="equal to the default"),
        pytest.param('{"thumbs": 30}', PromisedQueue, id="different ones"),
    ],
)
def test_without_promises_that_differ_a_worker_claims_as_before(database, given, kind):
    environment = {"JOBTIDE_APP": "a:b", "JOBTIDE_DATABASE_URL": database, "JOBTIDE_PROMISES": given}
    session = Session(lambda: database)
    assert type(_claim_queue(settings.from_environment(environment), session, TYPES)) is kind


def test_a_worker_process_runs_the_urgent_jobs_first(worker, enqueue, tenant, connect, wait_until):
    """One place: all jobs of one type end before the first of the other, though those have waited for longer."""
    owner, now, connection = tenant(), datetime.now(UTC), connect()
    for number in range(5):
        enqueue("echo", owner, created_at=now - timedelta(seconds=100 + number))
        enqueue("say", owner, {"end": "nothing"}, created_at=now - timedelta(seconds=20))
    process = worker(
        JOBTIDE_TYPES='["echo", "say"]', JOBTIDE_CONCURRENCY="1", JOBTIDE_PROMISES='{"say": 30, "echo": 600}'
    )
    count = "SELECT count(*) FROM job_queue WHERE completed_at IS NOT NULL"
    wait_until(lambda: connection.execute(count).fetchone() == (10,))
    ends = "SELECT max(completed_at) FILTER (WHERE type = 'say') <= min(completed_at) FILTER (WHERE type = 'echo')"
    assert connection.execute(f"{ends} FROM job_queue").fetchone() == (True,)
    assert process.end(signal.SIGTERM) == 0


def test_a_claim_whose_answer_was_lost_is_returned_though_its_type_is_not_tried_again(
    promised, tenant, fill, statuses, monkeypatch
):
    fill("video", tenant(), 1)
    queue = promised()
    lost = queue._groups[1].queue
    send = lost._session.execute

    def loses_the_answer(statement, parameters):
        rows = send(statement, parameters)
        if "wanted" in parameters and parameters["types"][0] == "video":
            raise DatabaseUnreachable("gone")
        return rows

    monkeypatch.setattr(lost._session, "execute", loses_the_answer)
    with pytest.raises(DatabaseUnreachable):
        queue.claim(RING, 1, 1)
    monkeypatch.undo()
    assert statuses() == {"processing": 1}
    fill("thumbs", tenant(), 5)
    assert claimed(queue) == ["thumbs"]
    assert statuses() == {"processing": 1, "pending": 5}
