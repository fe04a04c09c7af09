"""A type with more tenants than one reading can look at: read in slices, and the same sums in the end."""

from __future__ import annotations

import math

import psycopg
import pytest
from psycopg.rows import dict_row

from jobtide.sql import load
from jobtide_controller.api.spec import MOST_CONCURRENT
from jobtide_controller.decide.reading import OTHERS, Depth, Key, Reading, Unreadable
from jobtide_controller.postgres import readings
from jobtide_controller.postgres.readings import KEYS, SQL_PACKAGE
from tests.postgres.controller.test_plans import explain, nodes, parameters, rows_of

MANY = 6_000
POD = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def many(app: psycopg.Connection) -> None:
    """Each tenant has one due row; one more is scheduled for every third tenant."""
    app.execute("INSERT INTO tenants (name) SELECT 'n' || i FROM generate_series(1, %s) i", [MANY])
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, payload, created_at) "
        "SELECT 'a', id, '{}', now() - random() * interval '60 s' FROM tenants WHERE name LIKE 'n%'"
    )
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, payload, next_retry_at) SELECT 'a', id, '{}', now() + interval '1 h' "
        "FROM tenants WHERE name LIKE 'n%' AND substr(name, 2)::int % 3 = 0"
    )
    app.execute("VACUUM ANALYZE job_queue")


@pytest.fixture
def conn(connect) -> psycopg.Connection:
    connection = connect()
    connection.row_factory = dict_row
    connection.prepare_threshold = None
    return connection


def lap(reader, *types, limits=None) -> list[Reading]:
    """The readings until every tenant has been looked at."""
    found = []
    while True:
        found.append(reader.read(types, limits or {}))
        assert isinstance(found[-1], Reading), found[-1]
        if all(reader.at_the_first_tenant(type_) for type_ in types):
            return found


def summed(reading: Reading, type_: str) -> Depth:
    depths = [depth for key, depth in reading.depths.items() if key.type == type_]
    return Depth(
        due=sum(depth.due for depth in depths),
        later=sum(depth.later for depth in depths),
        running=sum(depth.running for depth in depths),
        oldest_age_seconds=max(depth.oldest_age_seconds for depth in depths),
        arrivals=sum(depth.arrivals for depth in depths),
        capped=any(depth.capped for depth in depths),
        tenants=sum(depth.tenants for depth in depths),
    )


@pytest.mark.usefixtures("many")
def test_the_sums_of_a_type_are_exact_from_the_first_reading_on(reader, app):
    all_readings = lap(reader, "a")
    assert len(all_readings) > 1, "one slice is not the whole type"
    row = app.execute("SELECT extract(epoch FROM now() - min(created_at))::float8 FROM job_queue").fetchone()
    for reading in all_readings:
        found = summed(reading, "a")
        assert (found.due, found.later, found.capped) == (MANY, MANY // 3, False)
        assert found.oldest_age_seconds == pytest.approx(row[0], abs=5)
    assert summed(all_readings[-1], "a").tenants == MANY


@pytest.mark.usefixtures("many")
def test_more_rows_than_one_count_takes_are_at_least_those_of_the_slices(reader, monkeypatch):
    monkeypatch.setattr(readings, "TOTAL_ROWS", 1000)
    *partial, last = lap(reader, "a")
    assert all(summed(reading, "a").capped for reading in (*partial, last))
    assert all(0 < summed(reading, "a").due < MANY for reading in partial)
    assert summed(last, "a").due == MANY


@pytest.mark.usefixtures("many")
def test_with_limits_the_sums_are_at_least_until_every_tenant_was_looked_at(reader):
    *partial, last = lap(reader, "a", limits={"a": 4})
    assert all(summed(reading, "a").capped for reading in partial)
    assert not summed(last, "a").capped
    assert summed(last, "a").due == MANY


@pytest.mark.usefixtures("many")
def test_a_burst_of_jobs_of_many_tenants_is_due_at_once_and_stays_so(reader, app):
    """Between two counts, too."""
    lap(reader, "a")
    reader._total_from = math.inf
    app.execute("UPDATE job_queue SET status = 'completed' WHERE next_retry_at IS NULL")
    reader._total_from = -math.inf
    assert summed(reader.read(["a"]), "a").due == 0
    reader._total_from = math.inf
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, payload) SELECT 'a', id, '{}' FROM tenants WHERE name LIKE 'n%'"
    )
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, payload, next_retry_at) SELECT 'a', id, '{}', now() + interval '1 h' "
        "FROM tenants WHERE name LIKE 'n%' LIMIT 100"
    )
    for _ in range(3):
        found = summed(reader.read(["a"]), "a")
        assert (found.due, found.later) == (MANY, MANY // 3 + 100)


@pytest.mark.usefixtures("many")
def test_a_type_that_was_emptied_is_empty_at_the_next_count(reader, app):
    lap(reader, "a")
    app.execute("UPDATE job_queue SET status = 'completed'")
    reader._total_from = -math.inf
    assert reader.read(["a"]).depths == {}


@pytest.mark.usefixtures("many")
def test_a_tenant_that_is_deleted_within_a_lap_is_no_longer_counted(reader, app, insert, tenant):
    deep = tenant("deep")
    for _ in range(20):
        insert("a", tenant_id=deep)
    assert lap(reader, "a")[-1].depths[Key("a", str(deep))].due == 20
    app.execute("DELETE FROM tenants WHERE name = 'deep'")
    reader._total_from = -math.inf
    assert summed(reader.read(["a"]), "a").due == MANY
    assert Key("a", str(deep)) not in lap(reader, "a")[-1].depths


@pytest.mark.usefixtures("many")
def test_a_reading_that_fails_within_a_lap_loses_nothing_and_counts_no_new_job_twice(reader, app, insert):
    lap(reader, "a")
    reader.read(["a"])
    reader._total_from = math.inf
    insert("a")
    app.execute("ALTER TABLE job_queue RENAME TO elsewhere")
    assert isinstance(reader.read(["a"]), Unreadable)
    app.execute("ALTER TABLE elsewhere RENAME TO job_queue")
    found = summed(reader.read(["a"]), "a")
    assert (found.due, found.tenants, found.capped) == (MANY + 1, pytest.approx(MANY, rel=0.01), False)


def test_many_types_with_many_tenants_take_turns_until_each_sum_is_exact(reader, app, monkeypatch):
    monkeypatch.setattr(readings, "FIRST_SLICES", 5)
    types = [f"t{number:02}" for number in range(25)]
    app.execute("INSERT INTO tenants (name) SELECT 'n' || i FROM generate_series(1, 600) i")
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, payload) SELECT type, id, '{}' "
        "FROM tenants, unnest(%s::text[]) AS type WHERE name LIKE 'n%%'",
        [types],
    )
    for _ in range(20):
        reading = reader.read(types)
        sums = {type_: summed(reading, type_) for type_ in types}
        assert all(found.due == 600 or found.capped for found in sums.values())
    assert {(found.due, found.capped) for found in sums.values()} == {(600, False)}


@pytest.mark.usefixtures("many")
def test_after_a_long_pause_the_slices_are_read_again(reader):
    lap(reader, "a")
    reader._read_at -= 100
    found = summed(reader.read(["a"]), "a")
    assert found.tenants < MANY, "what was known is too old"
    assert found.due == MANY


def test_a_type_that_passes_to_and_fro_between_few_and_many_tenants_is_exact_in_every_reading(reader, app):
    app.execute("INSERT INTO tenants (name) SELECT 'n' || i FROM generate_series(1, %s) i", [2 * KEYS])
    for number in (400, 600, 300, 600, 200, 501, 0, 700):
        app.execute("DELETE FROM job_queue")
        app.execute(
            "INSERT INTO job_queue (type, tenant_id, payload, created_at) SELECT 'a', id, '{}', now() - interval '9 s' "
            "FROM tenants WHERE substr(name, 2)::int <= %s",
            [number],
        )
        reader._total_from = -math.inf
        for _ in range(3):
            depths = reader.read(["a"]).depths.values()
            assert sum(depth.due for depth in depths) == number
            assert not any(depth.capped for depth in depths)


@pytest.mark.usefixtures("many")
def test_new_jobs_of_a_limited_tenant_have_its_name_before_its_turn(reader, app, insert, tenant):
    lap(reader, "a", limits={"a": 4})
    late = app.execute(
        "INSERT INTO tenants (id, name) VALUES ('ffffffff-0000-4000-8000-000000000000', 'x') RETURNING id"
    )
    (late,) = late.fetchone()
    for _ in range(9):
        insert("a", tenant_id=late)
    for _ in range(2):
        reading = reader.read(["a"], {"a": 4})
        assert reading.depths[Key("a", str(late))].due == 9
        assert summed(reading, "a").due == MANY + 9


@pytest.mark.usefixtures("many")
def test_rows_that_were_not_counted_to_the_end_belong_to_the_tenant_and_its_limit(reader, app, tenant):
    deep = tenant("deep")
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, payload) SELECT 'a', %s, '{}' FROM generate_series(1, 3000)", [deep]
    )
    reading = lap(reader, "a", limits={"a": 500})[-1]
    assert reading.depths[Key("a", str(deep))].due == pytest.approx(3000, rel=0.1)
    assert (summed(reading, "a").due, summed(reading, "a").capped) == (MANY + 3000, False)


@pytest.mark.usefixtures("many")
def test_a_limit_that_a_pool_gets_later_names_the_tenants_at_it_after_one_lap(reader, insert, tenant):
    for deep in [tenant(f"three {number}") for number in range(60)]:
        for _ in range(3):
            insert("a", tenant_id=deep)
    lap(reader, "a")
    reading = lap(reader, "a", limits={"a": 3})[-1]
    assert sum(key.tenant_id != OTHERS and depth.due == 3 for key, depth in reading.depths.items()) >= 60


@pytest.mark.usefixtures("many")
def test_the_sums_stay_exact_over_the_next_laps_while_nothing_changes(reader):
    lap(reader, "a")
    for _ in range(12):
        found = summed(reader.read(["a"]), "a")
        assert found.due == pytest.approx(MANY, rel=0.01)
        assert found.later == pytest.approx(MANY / 3, rel=0.05)


@pytest.mark.usefixtures("many")
def test_a_decision_sees_few_keys_however_many_tenants_there_are(reader):
    assert all(len(reading.depths) <= 60 for reading in lap(reader, "a"))


@pytest.mark.usefixtures("many")
def test_the_tenants_with_the_most_rows_have_their_names(reader, app, insert, tenant):
    deep = tenant("deep")
    for _ in range(20):
        insert("a", tenant_id=deep)
    assert lap(reader, "a")[-1].depths[Key("a", str(deep))].due == 20


@pytest.mark.usefixtures("many")
def test_other_types_are_read_as_a_whole_in_every_reading(reader, insert, tenant):
    lap(reader, "a", "b")
    mine = tenant("mine")
    insert("b", tenant_id=mine)
    assert reader.read(["a", "b"]).depths[Key("b", str(mine))] == Depth(
        due=1,
        arrivals=1,
        oldest_age_seconds=pytest.approx(0, abs=5),
        mean_age_seconds=pytest.approx(0, abs=5),
    )


def test_a_new_job_is_due_in_the_next_reading_although_every_other_tenant_has_scheduled_ones_only(reader, app, insert):
    app.execute("INSERT INTO tenants (name) SELECT 'n' || i FROM generate_series(1, %s) i", [MANY])
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, payload, created_at, next_retry_at) "
        "SELECT 'a', id, '{}', now() - interval '1 minute', now() + interval '1 h' FROM tenants WHERE name LIKE 'n%'"
    )
    assert summed(lap(reader, "a")[-1], "a").due == 0
    insert("a")
    assert summed(reader.read(["a"]), "a").due == 1


@pytest.mark.usefixtures("many")
def test_a_limited_tenant_has_its_own_number_if_its_limit_may_concern_it(reader, insert, tenant):
    at_limit, holder = tenant("at its limit"), tenant("holder")
    for _ in range(4):
        insert("a", tenant_id=at_limit)
    insert("a", tenant_id=holder)
    insert("a", tenant_id=holder, status="processing", worker_id=f"jobtide:{POD}:1")
    reading = lap(reader, "a", limits={"a": 4})[-1]
    assert reading.depths[Key("a", str(at_limit))].due == 4
    assert (reading.depths[Key("a", str(holder))].due, reading.depths[Key("a", str(holder))].running) == (1, 1)
    assert reading.pods[POD].running == {Key("a", str(holder)): 1}


@pytest.mark.usefixtures("many")
def test_without_a_limit_running_rows_are_counted_with_the_others(reader, insert):
    insert("a", status="processing", worker_id=f"jobtide:{POD}:1")
    insert("a", status="processing", worker_id=f"jobtide:{POD}:2")
    reading = lap(reader, "a")[-1]
    assert reading.depths[Key("a", OTHERS)].running == 2
    assert reading.pods[POD].running == {Key("a", OTHERS): 2}


@pytest.mark.usefixtures("many")
def test_a_type_whose_tenants_became_few_is_read_as_a_whole_again(reader, app):
    lap(reader, "a")
    app.execute("DELETE FROM job_queue WHERE tenant_id NOT IN (SELECT id FROM tenants WHERE name IN ('n1', 'n2'))")
    lap(reader, "a")
    lap(reader, "a")
    reading = reader.read(["a"])
    assert sorted(depth.due for depth in reading.depths.values()) == [1, 1]
    assert Key("a", OTHERS) not in reading.depths


def test_the_tenant_with_the_zero_id_and_jobs_without_a_time_are_counted(reader, app):
    app.execute("INSERT INTO tenants (name) SELECT 'n' || i FROM generate_series(1, %s) i", [2 * KEYS])
    app.execute("INSERT INTO tenants (id, name) VALUES ('00000000-0000-0000-0000-000000000000', 'zero')")
    app.execute("INSERT INTO job_queue (type, tenant_id, payload, created_at) SELECT 'a', id, '{}', NULL FROM tenants")
    (count,) = app.execute("SELECT count(*) FROM job_queue").fetchone()
    assert summed(lap(reader, "a")[-1], "a").due == count


def test_a_million_rows_of_one_tenant_hide_no_other_tenant(reader, app):
    app.execute("INSERT INTO tenants (name) SELECT 'n' || i FROM generate_series(1, %s) i", [2 * KEYS])
    app.execute("INSERT INTO job_queue (type, tenant_id, payload) SELECT 'a', id, '{}' FROM tenants")
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, payload, created_at) SELECT 'a', id, '{}', now() - interval '1 h' "
        "FROM (SELECT id FROM tenants ORDER BY id LIMIT 1) t, generate_series(1, 20000)"
    )
    first = reader.read(["a"])
    deepest = max((key for key in first.depths if key.tenant_id != OTHERS), key=lambda key: first.depths[key].due)
    assert (first.depths[deepest].due, first.depths[deepest].capped) == (20_001, False)
    assert first.depths[Key("a", OTHERS)].tenants >= 2 * KEYS - 100


@pytest.mark.usefixtures("many")
def test_the_cost_of_a_reading_does_not_grow_with_the_tenants(conn):
    """Rows read from the index, of the walk, of one slice and of a count: bounded, however many tenants there are."""
    walk = explain(conn, "readings", parameters(types=["a"]))
    known = explain(conn, "readings", parameters(types=["a"], many_types=["a"]))
    one_slice = explain(conn, "tenant_slice", slice_of_a())
    total = explain(conn, "waiting_total", {"types": ["a"], "row_cap": 1000})
    assert rows_of(walk, "idx_job_queue_due") <= 6 * (KEYS + 1)
    assert rows_of(known, "idx_job_queue_due") <= 10
    assert rows_of(one_slice, "idx_job_queue_due") <= 2 * 25 * 100
    assert rows_of(total, "idx_job_queue_due") <= 1000
    for plan in (one_slice, total):
        scans = {(node["Node Type"], node.get("Index Name")) for node in nodes(plan) if node.get("Relation Name")}
        assert scans == {("Index Only Scan", "idx_job_queue_due")}


@pytest.mark.usefixtures("many")
def test_slices_leave_out_no_tenant_and_read_none_twice(conn):
    due = tenants = 0
    after = None
    while True:
        rows = conn.execute(load(SQL_PACKAGE, "tenant_slice"), slice_of_a(after)).fetchall()
        due, tenants = due + sum(row["due"] for row in rows), tenants + sum(row["tenants"] for row in rows)
        after = rows[0]["until"]
        if after is None:
            break
    assert (due, tenants) == (MANY, MANY)


def slice_of_a(after=None) -> dict[str, object]:
    where = {"types": ["a"], "afters": [after], "list_froms": [0], "listed": []}
    return where | {"chunks": 25, "chunk_rows": 100, "top": 50}


def test_a_paused_tenant_is_read_by_itself_among_thousands(many, reader, app):
    (paused,) = (str(row[0]) for row in app.execute("SELECT id FROM tenants WHERE name = 'n3000'"))
    reader.paused = frozenset({paused})
    last = lap(reader, "a", limits={"a": MOST_CONCURRENT})[-1]
    assert last.depths[Key("a", paused)].due == 1
    assert summed(last, "a").due == MANY
