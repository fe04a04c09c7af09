"""A claim takes due rows only, each once, round robin over the tenants."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest

from jobtide.job import End
from jobtide.queue.ring import Ring
from jobtide.queue.session import DatabaseUnreachable

HOUR = timedelta(hours=1)
RING = Ring(("a",))


def claim_ids(queue, wanted=10, ring=RING, per_key=10):
    return {job.id for job in queue.claim(ring, wanted, per_key).jobs}


def test_a_claim_starts_the_lease_and_counts_the_attempt(queue, enqueue, tenant, row):
    id_ = enqueue("a", tenant(), {"n": 1})
    before = datetime.now(UTC)
    (job,) = queue("pod-9", lease_seconds=60).claim(RING, 5, 5).jobs
    claimed = row(id_)
    assert (job.id, job.payload, job.attempt, job.token) == (id_, {"n": 1}, 1, claimed["worker_id"])
    assert claimed["worker_id"].startswith("jobtide:pod-9:")
    assert (claimed["status"], claimed["attempts"]) == ("processing", 1)
    assert timedelta(seconds=55) < claimed["next_retry_at"] - before < timedelta(seconds=65)


@pytest.mark.parametrize(
    ("columns", "is_due"),
    [
        pytest.param({}, True, id="a plain insert"),
        pytest.param({"next_retry_at": datetime.now(UTC) - HOUR}, True, id="due"),
        pytest.param({"next_retry_at": datetime.now(UTC) + HOUR}, False, id="scheduled"),
        pytest.param({"created_at": None}, True, id="no created_at"),
        pytest.param({"created_at": datetime.now(UTC) + HOUR}, False, id="created in the future"),
        pytest.param({"status": "completed"}, False, id="completed"),
        pytest.param({"status": "failed"}, False, id="failed"),
        pytest.param({"status": "processing", "worker_id": "another"}, False, id="another consumer's"),
        pytest.param({"type": "b"}, False, id="another type"),
    ],
)
def test_only_due_rows_of_its_types_are_claimed(queue, enqueue, tenant, columns, is_due):
    id_ = enqueue(**{"type_": "a", "tenant_id": tenant(), **renamed(columns)})
    assert claim_ids(queue()) == ({id_} if is_due else set())


def renamed(columns):
    return {{"type": "type_"}.get(name, name): value for name, value in columns.items()}


def test_a_tenant_with_a_thousand_rows_delays_another_by_one_round(queue, enqueue, tenant, connect):
    noisy, quiet = tenant(), tenant()
    connect().execute("INSERT INTO job_queue (tenant_id, type) SELECT %s, 'a' FROM generate_series(1, 1000)", [noisy])
    enqueue("a", quiet)
    one, ring, served = queue(), RING, []
    for _ in range(2):
        claim = one.claim(ring, 1, 1)
        ring = claim.ring
        served += [job.tenant_id for job in claim.jobs]
    assert set(served) == {noisy, quiet}


def test_a_batch_is_shared_between_tenants(queue, tenant, connect):
    owners = [tenant() for _ in range(5)]
    connect().execute(
        """INSERT INTO job_queue (tenant_id, type)
           SELECT owner, 'a' FROM unnest(%s::uuid[]) AS owner, generate_series(1, 40)""",
        [owners],
    )
    jobs = queue().claim(RING, 50, 10).jobs
    assert Counter(job.tenant_id for job in jobs) == dict.fromkeys(owners, 10)


def test_types_are_served_round_robin_too(queue, enqueue, tenant):
    owner = tenant()
    for type_ in ("a", "b", "c"):
        for _ in range(3):
            enqueue(type_, owner)
    one, ring, served = queue(), Ring(("a", "b", "c")), []
    for _ in range(9):
        claim = one.claim(ring, 1, 1)
        ring = claim.ring
        served += [job.type for job in claim.jobs]
    assert served == ["a", "b", "c"] * 3


def test_the_jobs_of_a_tenant_are_claimed_in_the_order_of_their_due_times(queue, enqueue, tenant):
    owner, now = tenant(), datetime.now(UTC)
    late = enqueue("a", owner, created_at=now - HOUR)
    retried = enqueue("a", owner, created_at=now - 3 * HOUR, next_retry_at=now - timedelta(minutes=1))
    early = enqueue("a", owner, created_at=now - 2 * HOUR)
    one = queue()
    assert [job.id for _ in range(3) for job in one.claim(RING, 1, 1).jobs] == [early, late, retried]


def test_the_jobs_of_a_claim_are_in_the_order_of_their_due_times(queue, enqueue, tenant):
    owner, now = tenant(), datetime.now(UTC)
    ids = [enqueue("a", owner, created_at=now - minutes * timedelta(minutes=1)) for minutes in (3, 9, 1, 7, 5)]
    assert [job.id for job in queue().claim(RING, 5, 5).jobs] == [ids[at] for at in (1, 3, 4, 0, 2)]


def test_the_extreme_tenants_of_the_uuid_range_are_served(queue, enqueue, connect):
    ends = [UUID(int=0), UUID(int=(1 << 128) - 1)]
    with connect() as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO tenants (id) VALUES (%s)", [(end,) for end in ends])
    for end in ends:
        enqueue("a", end)
    one, ring, served = queue(), RING, []
    for _ in range(2):
        claim = one.claim(ring, 1, 1)
        ring = claim.ring
        served += [job.tenant_id for job in claim.jobs]
    assert sorted(served) == ends


def test_a_batch_that_one_tenant_filled_is_soon_shared_by_all(queue, tenant, connect):
    connect().execute(
        """INSERT INTO job_queue (tenant_id, type)
           SELECT owner, 'a' FROM unnest(%s::uuid[]) AS owner, generate_series(1, 100)""",
        [[tenant() for _ in range(5)]],
    )
    one, ring, per_key, served = queue(), RING, 10, []
    for _ in range(40):
        claim = one.claim(ring, 10, per_key)
        ring, per_key = claim.ring, claim.rows_per_key
        served.append(sorted(Counter(job.tenant_id for job in claim.jobs).values()))
    assert served[0] == [10]
    assert served[-1] == [2] * 5


def test_racing_workers_claim_every_job_exactly_once(queue, tenant, connect):
    owners = [tenant() for _ in range(7)]
    connect().execute(
        """INSERT INTO job_queue (tenant_id, type)
           SELECT owner, 'a' FROM unnest(%s::uuid[]) AS owner, generate_series(1, 200)""",
        [owners],
    )

    def take_all(number):
        one, ring, per_key, mine = queue(f"pod-{number}"), Ring(("a",), 0, number << 124), 3, []
        while jobs := (claim := one.claim(ring, 7, per_key)).jobs:
            ring, per_key = claim.ring, claim.rows_per_key
            mine += [job.id for job in jobs]
        return mine

    with ThreadPoolExecutor(12) as pool:
        claimed = [id_ for mine in pool.map(take_all, range(12)) for id_ in mine]
    assert len(claimed) == len(set(claimed)) == 1400


def test_a_locked_row_is_skipped_and_not_waited_for(queue, enqueue, tenant, connect):
    owner = tenant()
    held, free = enqueue("a", owner), enqueue("a", owner)
    other = connect(autocommit=False)
    other.execute("SELECT FROM job_queue WHERE id = %s FOR UPDATE", [held])
    assert claim_ids(queue()) == {free}
    other.rollback()


def test_a_broken_connection_is_one_kind_of_error_and_heals(queue, enqueue, tenant, connect):
    one = queue()
    assert claim_ids(one) == set()
    connect().execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                      " AND datname = current_database() AND state = 'idle' AND query LIKE '%%lap%%'")  # fmt: skip
    with pytest.raises(DatabaseUnreachable, match="terminating connection"):
        claim_ids(one)
    id_ = enqueue("a", tenant())
    assert claim_ids(one) == {id_}


def test_the_jobs_of_a_claim_whose_answer_was_lost_are_requeued_with_their_attempt(
    queue, enqueue, tenant, row, monkeypatch
):
    id_ = enqueue("a", tenant())
    one = queue()
    answered = one._session.execute

    def lose_the_answer(statement, parameters):
        answered(statement, parameters)
        raise DatabaseUnreachable("server closed the connection unexpectedly")

    monkeypatch.setattr(one._session, "execute", lose_the_answer)
    with pytest.raises(DatabaseUnreachable):
        one.claim(RING, 1, 1)
    monkeypatch.undo()
    assert row(id_)["status"] == "processing"
    (job,) = one.claim(RING, 1, 1).jobs
    assert (job.id, job.attempt) == (id_, 1)


def test_dead_rows_that_an_old_snapshot_keeps_are_stepped_over_once_and_not_at_each_claim(queue, tenant, connect):
    """Pages touched by one claim, after 5,000 claims under an open snapshot, with marks and without."""
    owner, watching = tenant(), connect()
    watching.execute("INSERT INTO job_queue (tenant_id, type) SELECT %s, 'a' FROM generate_series(1, 6000)", [owner])
    old = connect(autocommit=False)
    old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    old.execute("SELECT count(*) FROM job_queue")
    one, ring = queue(), RING
    for _ in range(50):
        one.finish([End(job, "completed", "1") for job in one.claim(ring, 100, 100).jobs])
    with_marks, without = (pages_of_a_claim(each) for each in (one, queue("pod-2")))
    old.rollback()
    assert without > 1_000
    assert with_marks < 100


def test_a_claim_of_an_almost_empty_queue_steps_over_no_dead_rows_whatever_the_statistics_say(queue, tenant, connect):
    """ANALYZE sees no waiting row, so a plan that reads all dead rows through another index looks cheap too."""
    owners, watching = [tenant() for _ in range(4)], connect()
    old = connect(autocommit=False)
    old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    old.execute("SELECT count(*) FROM job_queue")
    insert = "INSERT INTO job_queue (tenant_id, type) SELECT unnest(%s::uuid[]), 'a' FROM generate_series(1, %s)"
    one, ring = queue(), RING
    for _ in range(25):
        watching.execute(insert, [owners, 250])
        one.finish([End(job, "completed", "1") for job in one.claim(ring, 1_001, 1_001).jobs])
        watching.execute("ANALYZE job_queue")
    assert one._low_water._is_dear
    watching.execute(insert, [owners[2:3], 1])
    pages = pages_of_a_claim(one, wanted=4)
    old.rollback()
    assert pages < 100


def test_rows_before_a_mark_are_found_in_parts_while_claims_come_short(queue, tenant, connect, enqueue):
    owners = sorted(tenant() for _ in range(3))
    connect().execute(
        "INSERT INTO job_queue (tenant_id, type) SELECT unnest(%s::uuid[]), 'a' FROM generate_series(1, 100)", [owners]
    )
    one, found = queue(), set()
    for _ in range(3):
        one.claim(RING, 100, 100)
    behind = {enqueue("a", owner, created_at=datetime.now(UTC) - HOUR) for owner in owners}
    waits = []
    while found < behind:
        one._low_water._search_at = 0.0  # as after the wait that the claim asked for
        claim = one.claim(RING, 9, 9)
        found |= {job.id for job in claim.jobs}
        waits.append(claim.search_seconds)
    assert found == behind
    assert all(0 < wait < 60 for wait in waits[:-1])


def test_rows_before_a_mark_are_found_while_every_claim_is_full(queue, tenant, connect, enqueue, monkeypatch):
    """As those of a crashed pod that were given back. A clock in which each look at it takes a tenth of a second."""
    owners = sorted(tenant() for _ in range(12))
    connect().execute(
        "INSERT INTO job_queue (tenant_id, type) SELECT unnest(%s::uuid[]), 'a' FROM generate_series(1, 400)", [owners]
    )
    clock = count(1_000.0, 0.1)
    monkeypatch.setattr("jobtide.queue.claims.monotonic", lambda: next(clock))
    one, ring, found = queue(), RING, set()
    for _ in range(8):
        ring = one.claim(ring, 100, 10).ring
    behind = {enqueue("a", owner, created_at=datetime.now(UTC) - HOUR) for owner in owners}
    claims = 0
    while found < behind:
        claim = one.claim(ring, 4, 1)
        assert len(claim.jobs) == 4
        ring, claims = claim.ring, claims + 1
        found |= behind & {job.id for job in claim.jobs}
        assert claims < 600


def test_a_tenant_that_gave_its_share_is_not_read_again_from_its_start(queue, tenant, connect, monkeypatch):
    connect().execute(
        """INSERT INTO job_queue (tenant_id, type)
           SELECT owner, 'a' FROM unnest(%s::uuid[]) AS owner, generate_series(1, 1000)""",
        [[tenant(), tenant()]],
    )
    one, ring, sent = queue(), RING, []
    for _ in range(14):
        ring = one.claim(ring, 100, 50).ring
    one._low_water._stale_at = float("inf")  # with all marks
    plain = one._session.execute
    monkeypatch.setattr(one._session, "execute", lambda *asked: sent.append(asked) or plain(*asked))
    assert len(one.claim(ring, 100, 1).jobs) == 2
    assert len(sent) == 1


def pages_of_a_claim(queue, wanted=1):
    """Shared buffers that the claim's own statement touches, as EXPLAIN counts them."""
    queue._low_water._stale_at = float("inf")  # with all marks
    queue._idle_look.walked(0, drained=True)  # and no look before it
    session, seen = queue._session, []
    plain = session.execute

    def explained(statement, parameters):
        plan = plain("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, parameters)[0]["QUERY PLAN"][0]["Plan"]
        seen.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
        return []

    session.execute = explained
    queue.claim(RING, wanted, wanted)
    return seen[0]


def test_a_row_that_falls_due_before_the_mark_is_claimed_once_nothing_else_is_due(queue, tenant, connect, enqueue):
    owner = tenant()
    connect().execute("INSERT INTO job_queue (tenant_id, type) SELECT %s, 'a' FROM generate_series(1, 1000)", [owner])
    one = queue()
    for _ in range(10):
        one.claim(RING, 100, 100)
    behind = enqueue("a", owner, created_at=datetime.now(UTC) - HOUR)
    assert claim_ids(one) == {behind}
