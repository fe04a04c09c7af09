from __future__ import annotations

import uuid

import pytest

from jobtide_controller.decide.reading import Depth, Key, PodRun, Reading

POD = "11111111-2222-3333-4444-555555555555"


def read(reader, *types) -> Reading:
    reading = reader.read(types)
    assert isinstance(reading, Reading), reading
    return reading


def depth(reading, type_="a") -> Depth:
    return next(depth for key, depth in reading.depths.items() if key.type == type_)


def test_an_empty_table_is_a_reading_with_the_databases_clock(reader, app):
    reading = read(reader, "a")
    (now,) = app.execute("SELECT extract(epoch FROM now())::float8").fetchone()
    assert reading.depths == {}
    assert reading.taken_at == pytest.approx(now, abs=5)


def test_due_and_later_and_running_are_counted_per_type_and_tenant(reader, insert, tenant):
    other = tenant("other")
    for _ in range(3):
        insert("a")
    insert("a", retry_in_seconds=60)
    insert("a", status="processing", worker_id=f"jobtide:{POD}:1")
    insert("a", tenant_id=other)
    insert("b", tenant_id=other)
    for status in ("completed", "failed"):
        insert("a", status=status)
    counts = {
        (key.type, key.tenant_id == str(other)): (depth.due, depth.later, depth.running)
        for key, depth in read(reader, "a", "b").depths.items()
    }
    assert counts == {("a", False): (3, 1, 1), ("a", True): (1, 0, 0), ("b", True): (1, 0, 0)}


def test_a_row_is_due_since_its_retry_time_not_since_it_was_created(reader, insert):
    insert("a", age_seconds=500, retry_in_seconds=-20)
    assert depth(read(reader, "a")).oldest_age_seconds == pytest.approx(20, abs=5)


def test_oldest_and_mean_age_are_those_of_the_due_rows(reader, insert):
    insert("a", age_seconds=100)
    insert("a", age_seconds=40)
    insert("a", age_seconds=900, retry_in_seconds=30)
    found = depth(read(reader, "a"))
    assert found.oldest_age_seconds == pytest.approx(100, abs=5)
    assert found.mean_age_seconds == pytest.approx(70, abs=5)


def test_the_first_scheduled_row_gives_the_next_due_time(reader, insert):
    insert("a", retry_in_seconds=300)
    insert("a", retry_in_seconds=30)
    reading = read(reader, "a")
    assert depth(reading).next_due_at - reading.taken_at == pytest.approx(30, abs=5)


@pytest.mark.parametrize(
    ("created_at", "next_retry_at", "due", "later"),
    [
        pytest.param(None, None, 1, 0, id="no created_at: due at once"),
        pytest.param("-infinity", None, 1, 0, id="created at -infinity"),
        pytest.param("now", "infinity", 0, 1, id="scheduled at infinity: never due"),
        pytest.param("infinity", None, 0, 1, id="created at infinity: never due"),
    ],
)
def test_missing_and_infinite_times_are_read_without_an_age(reader, app, tenant, created_at, next_retry_at, due, later):
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, created_at, next_retry_at, payload) VALUES ('a', %s, %s, %s, '{}')",
        [tenant(), created_at, next_retry_at],
    )
    found = depth(read(reader, "a"))
    assert (found.due, found.later) == (due, later)
    assert (found.oldest_age_seconds, found.mean_age_seconds, found.next_due_at) == (0, 0, None)


def test_a_row_that_another_consumer_holds_is_not_running_for_us(reader, insert):
    insert("a", status="processing", worker_id="worker_1")
    insert("a", status="processing")
    assert read(reader, "a").depths == {}


def test_running_rows_are_counted_by_the_pod_that_holds_them(reader, insert):
    insert("a", status="processing", worker_id=f"jobtide:{POD}:1")
    insert("a", status="processing", worker_id=f"jobtide:{POD}:2")
    insert("b", status="processing", worker_id="jobtide:local-12ab:1")
    reading = read(reader, "a", "b")
    by_pod = {uid: {key.type: count for key, count in run.running.items()} for uid, run in reading.pods.items()}
    assert by_pod == {POD: {"a": 2}, "local-12ab": {"b": 1}}
    assert isinstance(reading.pods[POD], PodRun)


def test_the_lease_of_a_claim_that_another_client_cleared_is_over(reader, insert, app):
    insert("a", status="processing", worker_id=f"jobtide:{POD}:1")
    app.execute("UPDATE job_queue SET next_retry_at = NULL")
    (run,) = read(reader, "a").pods.values()
    assert (run.jobs, sum(run.lapsed.values())) == (1, 1)


def test_types_that_no_pool_asks_for_are_not_read(reader, insert):
    for type_ in ("a", "b", "c"):
        insert(type_)
        insert(type_, status="processing", worker_id=f"jobtide:{POD}:{type_}")
    reading = read(reader, "b")
    assert {key.type for key in reading.depths} == {"b"}
    assert reading.pods[POD].jobs == 1


def test_counting_stops_at_the_cap_and_marks_the_depth_as_capped(new_reader, database, insert):
    for _ in range(5):
        insert("a")
        insert("b", retry_in_seconds=60)
    insert("c")
    reading = read(new_reader(database, depth_cap=5), "a", "b", "c")
    assert [(depth(reading, type_).capped) for type_ in "abc"] == [True, True, False]
    assert depth(reading, "a").due == 5


def test_rows_beyond_the_cap_are_estimated_from_a_sample(new_reader, database, app, tenant):
    """5,000 rows due and as many scheduled, on fewer pages than a sample reads: all are in it."""
    owner, other = tenant("large"), tenant("small")
    app.execute(
        "INSERT INTO job_queue (tenant_id, type, next_retry_at)"
        " SELECT %s, 'a', CASE WHEN n %% 2 = 0 THEN now() + interval '1 h' END FROM generate_series(1, 10000) AS n",
        [owner],
    )
    app.execute("INSERT INTO job_queue (tenant_id, type) SELECT %s, 'a' FROM generate_series(1, 60)", [other])
    reading = read(new_reader(database, depth_cap=50), "a")
    assert {str(owner): 5_000, str(other): 0} == {key.tenant_id: one.about for key, one in reading.depths.items()}
    assert all(one.capped for one in reading.depths.values())


def test_the_capped_rows_are_the_ones_that_wait_longest(new_reader, database, insert):
    for age in (5, 50, 500):
        insert("a", age_seconds=age)
    assert depth(read(new_reader(database, depth_cap=2), "a")).mean_age_seconds == pytest.approx(275, abs=5)


def test_the_first_reading_has_no_arrivals(reader, insert):
    insert("a")
    assert depth(read(reader, "a")).arrivals == 0


def test_every_row_arrives_once_over_many_readings(reader, insert):
    arrivals = 0
    read(reader, "a")
    for step in range(4):
        for _ in range(step):
            insert("a")
        arrivals += depth(read(reader, "a")).arrivals if step else 0
    assert arrivals == 6


def test_a_row_that_was_completed_between_two_readings_has_arrived(reader, insert, app):
    read(reader, "a")
    insert("a", status="completed", worker_id=f"jobtide:{POD}:1", attempts=1)
    found = depth(read(reader, "a"))
    assert (found.arrivals, found.due, found.running) == (1, 0, 0)


def test_a_transaction_that_commits_late_arrives_in_the_next_reading(reader, insert, app):
    insert("a")
    read(reader, "a")
    with app.transaction():
        app.execute("SELECT 1")
        insert("a")
        seen_before_commit = depth(read(reader, "a")).arrivals
    late = depth(read(reader, "a")).arrivals
    assert (seen_before_commit, late) == (0, 1)


def test_arrivals_are_counted_per_key_without_mixing(reader, insert, tenant):
    other = tenant("other")
    read(reader, "a", "b")
    insert("a")
    insert("a", tenant_id=other)
    insert("a", tenant_id=other)
    insert("b")
    found = {(key.type, key.tenant_id == str(other)): d.arrivals for key, d in read(reader, "a", "b").depths.items()}
    assert found == {("a", False): 1, ("a", True): 2, ("b", False): 1}


def test_the_controllers_own_role_suffices(new_reader, database, app, insert):
    name = f"reader_{uuid.uuid4().hex}"
    app.execute(f"CREATE ROLE {name} LOGIN IN ROLE jobtide_controller")
    insert("a")
    url = database.replace("postgres@", f"{name}@")
    assert f"{name}@" in url
    assert depth(read(new_reader(url), "a")).due == 1


def test_a_reading_of_many_tenants_counts_fewer_rows_of_each(reader, insert, app):
    app.execute("INSERT INTO tenants (name) SELECT 'n' || i FROM generate_series(1, 399) i")
    app.execute("INSERT INTO job_queue (type, tenant_id, payload) SELECT 'a', id, '{}' FROM tenants")
    before = reader.depth_cap
    read(reader, "a")
    assert before == 10_000
    assert reader.depth_cap == 250


def test_nothing_is_left_behind_in_the_session(reader):
    read(reader, "a")
    row = reader.session.connect().execute("SHOW statement_timeout").fetchone()
    assert row == {"statement_timeout": "0"}


def test_a_key_is_what_the_decision_expects(reader, insert, tenant):
    mine = tenant()
    insert("a", tenant_id=mine)
    assert list(read(reader, "a").depths) == [Key("a", str(mine))]
