"""Whatever a tenant writes into its rows harms those rows alone: claims, readings, rescues and checks go on."""

from __future__ import annotations

import json
from collections import Counter
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dev.postgres.hostile_rows import IN_AN_HOUR, INSERT, LARGE_JSON, NUMBERS, STATUSES, TIMES, TYPES, tokens
from jobtide.payload import Malformed
from jobtide.producer.enqueue import IdTakenError, enqueue
from jobtide.producer.job_ids import key_of
from jobtide.queue.caps import TenantCaps
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session
from jobtide.schema import check
from jobtide.worker import outcome
from jobtide_controller.decide.holders import believed
from jobtide_controller.decide.reading import Key, Reading
from jobtide_controller.postgres.readings import Limits, Reader
from jobtide_controller.postgres.rescue import rescue
from jobtide_controller.postgres.urls import DatabaseUrls

POD = "11111111-2222-3333-4444-555555555555"
LOST = "99999999-2222-3333-4444-555555555555"
LIMIT = 100_000
MOMENT = outcome.moment()

numbers = st.sampled_from(NUMBERS) | st.integers(-(2**31), 2**31 - 1)
times = st.sampled_from(TIMES)
types = st.sampled_from(["a", "A", "b", *TYPES])
small_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab\x01\u2028", max_size=5), inner),
    max_leaves=10,
).map(json.dumps)  # fmt: skip
large_json = st.sampled_from(LARGE_JSON)
jsons = st.none() | small_json | large_json
rows = st.fixed_dictionaries(
    {
        "type": types,
        "status": st.sampled_from(STATUSES),
        "payload": jsons,
        "result": jsons,
        "worker_id": st.sampled_from(tokens(POD, LOST)),
        "attempts": numbers,
        "next_retry_at": times,
        "created_at": times,
        "completed_at": times,
    }
)
OVERFLOWING = {"type": "a", "status": "pending", "payload": "{}", "result": "{}", "worker_id": None,
               "attempts": 2**31 - 1, "next_retry_at": None, "created_at": "now", "completed_at": None}  # fmt: skip
MANY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def admin(connect) -> psycopg.Connection:
    return connect()


@pytest.fixture
def new_queue(database):
    opened = []

    def new(caps=None) -> PostgresJobQueue:
        queue = PostgresJobQueue(
            Session(lambda: database),
            pod_uid=POD,
            lease_seconds=60,
            caps=caps or TenantCaps(),
            max_payload_bytes=LIMIT,
        )
        opened.append(queue)
        return queue

    yield new
    for queue in opened:
        queue.close()


@pytest.fixture
def reader(database, tmp_path):
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "url").write_text(database)
    reader = Reader("main", DatabaseUrls(tmp_path), Limits())
    yield reader
    reader.session.close()


def fill(admin, hostile: UUID, rows) -> int:
    """Inserts the rows; those that the server itself refuses to store are left out. How many were stored."""
    stored = 0
    for row in rows:
        try:
            admin.execute(INSERT, {**row, "tenant": hostile})
            stored += 1
        except (psycopg.DataError, psycopg.OperationalError):  # an index row too long, a value out of range
            pass
    return stored


def honest_rows(admin, tenant: UUID, status="pending", worker_id=None, count=3) -> set[UUID]:
    lease = "now() + interval '1 minute'" if status == "processing" else "NULL"
    found = admin.execute(
        f"INSERT INTO job_queue (tenant_id, type, status, worker_id, attempts, next_retry_at) "
        f"SELECT %s, 'a', %s::job_status, %s, 1, {lease} FROM generate_series(1, %s) RETURNING id",
        [tenant, status, worker_id, count],
    )
    return {id_ for (id_,) in found}


def claim_all(queue) -> list:
    ring, jobs = Ring(("a", "b")), []
    for _ in range(100):
        claim = queue.claim(ring, 4, 4)
        ring = claim.ring
        jobs += claim.jobs
        if claim.drained:
            return jobs
    pytest.fail("claims never drain the queue")


@MANY
@given(st.lists(rows, max_size=6), st.sampled_from([None, TenantCaps(2), TenantCaps(None, {UUID(int=1): 1})]))
@example([OVERFLOWING], None)
@example([OVERFLOWING | {"attempts": -(2**31), "status": "processing", "worker_id": f"jobtide:{POD}:1"}], TenantCaps(2))
@example([OVERFLOWING | {"result": "[" * depth + "]" * depth} for depth in (900, 3_000)], None)
def test_no_row_stops_claims_rescues_and_extensions_of_others(admin, new_queue, tenant, hostile_rows, caps):
    admin.execute("TRUNCATE job_queue")
    honest = honest_rows(admin, tenant(), count=2)
    fill(admin, tenant(), hostile_rows)
    queue = new_queue(caps)
    queue.rescue_own_pod()
    jobs = claim_all(queue)
    assert honest <= {job.id for job in jobs}
    assert all(1 <= job.attempt < 2**31 for job in jobs)
    assert all(len(json.dumps(job.payload)) <= 2 * LIMIT for job in jobs if not isinstance(job.payload, Malformed))
    for job in jobs:
        outcome.exhausted(job, 1, MOMENT)
        outcome.suspected(outcome.requeued(job), 1)
    queue.extend_own_pod()
    queue.rescue_expired(200)
    queue._unanswered = {f"jobtide:{POD}:1": 0.0}
    queue.return_unanswered(1.0)


@MANY
@given(st.lists(rows, max_size=6))
@example([OVERFLOWING | {"next_retry_at": IN_AN_HOUR}])
@example([OVERFLOWING | {"status": "processing", "worker_id": f"jobtide:{LOST}:1", "attempts": -(2**31)}])
def test_no_row_stops_the_reading_or_changes_what_it_says_of_others(admin, reader, tenant, hostile_rows):
    admin.execute("TRUNCATE job_queue")
    honest = tenant()
    honest_rows(admin, honest, count=3)
    honest_rows(admin, honest, "processing", f"jobtide:{POD}:1", count=2)
    fill(admin, tenant(), hostile_rows)
    for _ in range(2):  # the second reading follows rows of the first
        reading = reader.read(["a", "b"])
        assert isinstance(reading, Reading), reading
        seen = believed(reading, {POD}, 4)
        depth = seen.depths[Key("a", str(honest))]
        assert (depth.due, depth.running, depth.later) == (3, 2, 0)
        assert 0 <= depth.oldest_age_seconds < 60
        assert all(len(uid) <= 100 for uid in reading.pods)
        assert sum(run.jobs for run in seen.pods.values()) <= 4
    rescue(reader.session, {LOST: True, POD: False})
    assert check(admin) == ()


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param("[" + "{}," * 9_000_000 + "{}]", "has 72000016 bytes", id="36 MB of objects"),
        pytest.param("[" + "1e131071," * 10_000 + "1]", "number of over 1,000 digits", id="2.6 GB of digits"),
        pytest.param(json.dumps("x" * 200_000), "has 200002 bytes; the limit is 100000", id="twice the limit"),
    ],
)
def test_a_payload_over_the_limit_is_not_fetched_and_says_why(admin, new_queue, tenant, payload, message):
    fill(admin, tenant(), [OVERFLOWING | {"payload": payload, "attempts": 0}])
    honest = honest_rows(admin, tenant(), count=1)
    jobs = {job.id: job for job in claim_all(new_queue())}
    assert honest < jobs.keys()
    (refused,) = (job for job in jobs.values() if job.id not in honest)
    assert message in refused.payload.why


def test_a_payload_at_the_limit_is_fetched(admin, new_queue, tenant):
    text = "x" * (LIMIT - 2)
    fill(admin, tenant(), [OVERFLOWING | {"payload": json.dumps(text), "attempts": 0}])
    (job,) = claim_all(new_queue())
    assert job.payload == text


def test_a_type_that_no_pool_wants_costs_no_probe(admin, reader, tenant):
    """Two million of them took longer than the reading's timeout."""
    owner = tenant()
    admin.execute(
        "INSERT INTO job_queue (tenant_id, type, status) "
        "SELECT %s, 'unwanted' || n, s::job_status "
        "FROM generate_series(1, 20000) n, unnest('{pending,processing}'::text[]) s",
        [owner],
    )
    honest_rows(admin, owner, count=2)
    admin.execute("VACUUM ANALYZE job_queue")
    probes = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'idx_job_queue_due'"
    (before,) = admin.execute(probes).fetchone()
    reading = reader.read(["a", "z"])
    assert {key.type: depth.due for key, depth in reading.depths.items()} == {"a": 2}
    reader.session.close()
    assert admin.execute(probes).fetchone()[0] - before < 50


def test_forged_running_rows_count_for_no_other_tenant_and_start_no_worker(admin, reader, tenant):
    forger, honest = tenant(), tenant()
    for number in range(160):
        row = {"status": "processing", "next_retry_at": IN_AN_HOUR, "worker_id": f"jobtide:local-x:{number}"}
        fill(admin, forger, [OVERFLOWING | row])
    row = {"status": "processing", "next_retry_at": "infinity", "worker_id": f"jobtide:{POD}:1"}
    fill(admin, forger, [OVERFLOWING | row])
    honest_rows(admin, honest, "processing", f"jobtide:{POD}:1", count=2)
    reading = reader.read(["a"])
    assert believed(reading, {POD}, 4).depths.keys() == {Key("a", str(honest))}


def test_forged_finished_rows_have_not_arrived(admin, reader, tenant):
    forger = tenant()
    reader.read(["a"])
    for token, attempts in ((None, 1), ("worker_1", 1), (f"jobtide:{POD}:1", 0)):
        fill(admin, forger, [OVERFLOWING | {"status": "completed", "worker_id": token, "attempts": attempts}] * 20)
    reading = reader.read(["a"])
    assert sum(depth.arrivals for depth in reading.depths.values()) == 0


def test_a_due_time_in_the_past_makes_no_job_late(admin, reader, tenant):
    owner = tenant()
    for moment in ("-infinity", "4714-11-24 00:00:00+00 BC", "yesterday"):
        fill(admin, owner, [OVERFLOWING | {"next_retry_at": moment}])
    (depth,) = reader.read(["a"]).depths.values()
    assert depth.due == 3
    assert depth.oldest_age_seconds < 60


def test_a_forgers_rows_fill_its_own_cap_alone(admin, new_queue, tenant):
    forger, honest = tenant(), tenant()
    admin.execute(
        "INSERT INTO job_queue (tenant_id, type, status, worker_id) "
        "SELECT %s, 'a', 'processing', 'jobtide:forged:1' FROM generate_series(1, 1000)",
        [forger],
    )
    fill(admin, forger, [OVERFLOWING | {"attempts": 0}])
    honest_rows(admin, honest, count=3)
    jobs = claim_all(new_queue(TenantCaps(2)))
    assert Counter(job.tenant_id for job in jobs) == {honest: 2}


def test_the_rows_followed_are_of_every_tenant(admin, reader, tenant):
    forger, honest = tenant(), tenant()
    for number in range(400):
        row = {"status": "processing", "next_retry_at": IN_AN_HOUR, "worker_id": f"jobtide:{POD}:{number}"}
        fill(admin, forger, [OVERFLOWING | row])
    (followed,) = honest_rows(admin, honest, "processing", f"jobtide:{POD}:x", count=1)
    reader.read(["a"])
    assert str(followed) in reader._watched.ids


def test_ids_that_another_tenant_took_do_not_stop_a_unique_key(admin, tenant):
    attacker, owner = tenant(), tenant()
    key = key_of("unique", owner, "a", "k")
    for number in (*range(1, 200), 2**32 - 1):
        admin.execute("INSERT INTO job_queue (id, tenant_id, type) VALUES (%s, %s, 'a')", [key.id(number), attacker])
    first = enqueue(admin, "a", tenant_id=owner, unique="k")
    assert first is not None
    assert enqueue(admin, "a", tenant_id=owner, unique="k") is None
    admin.execute("UPDATE job_queue SET status = 'completed' WHERE id = %s", [first])
    second = enqueue(admin, "a", tenant_id=owner, unique="k")
    assert second is not None
    assert second.int > first.int, "the key's newest job has its highest number"


def test_an_id_of_ones_own_that_another_tenant_took_is_an_error_and_not_silence(admin, tenant):
    attacker, owner, id_ = tenant(), tenant(), uuid4()
    admin.execute("INSERT INTO job_queue (id, tenant_id, type) VALUES (%s, %s, 'a')", [id_, attacker])
    with pytest.raises(IdTakenError, match=f"job_id={id_}.*another tenant"):
        enqueue(admin, "a", tenant_id=owner, job_id=id_)
