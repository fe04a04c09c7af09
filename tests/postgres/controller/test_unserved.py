"""Types with waiting jobs that no pool handles, on a real server."""

from __future__ import annotations

import pytest

from jobtide_controller.decide.reading import Reading, Unserved
from jobtide_controller.postgres.readings import UNSERVED_SECONDS, UNSERVED_TYPES


def found(reader, *types):
    reading = reader.read(types)
    assert isinstance(reading, Reading)
    return dict(reading.unserved)


def test_waiting_jobs_of_other_types_are_found_with_their_number_and_age(reader, insert):
    for type_, status in (("mine", "pending"), ("ended", "completed"), ("runs", "processing")):
        insert(type_, status=status, age_seconds=90)
    insert("video", age_seconds=90)
    insert("video", age_seconds=10)
    insert("scheduled", age_seconds=90, retry_in_seconds=60)
    unserved = found(reader, "mine", "another")
    assert {type_: one.jobs for type_, one in unserved.items()} == {"video": 2, "scheduled": 1}
    assert unserved["video"].oldest_age_seconds == pytest.approx(90, abs=5)
    assert unserved["scheduled"].oldest_age_seconds == 0


def test_no_waiting_job_is_nothing(reader):
    assert found(reader, "mine") == {}


def test_there_may_be_more_types_than_are_looked_at(reader, app, tenant):
    app.execute(
        "INSERT INTO job_queue (type, tenant_id, payload) SELECT 't' || i, %s, '{}' FROM generate_series(1, 300) AS i",
        [tenant("one")],
    )
    unserved = found(reader, *[f"t{number}" for number in range(1, 101)])
    assert len(unserved) == UNSERVED_TYPES
    assert not unserved.keys() & {f"t{number}" for number in range(1, 101)}


def test_it_is_looked_for_now_and_then_only(reader, insert):
    now = 1_000.0
    reader._monotonic = lambda: now
    assert found(reader, "mine") == {}
    insert("video", age_seconds=90)
    assert found(reader, "mine") == {}
    now += UNSERVED_SECONDS
    assert list(found(reader, "mine")) == ["video"]


def test_what_it_can_not_find_out_leaves_the_reading_as_it_is(reader, insert, monkeypatch):
    insert("video", age_seconds=90)
    insert("mine")
    monkeypatch.setattr("jobtide_controller.postgres.readings.COUNTED_JOBS", -1)  # LIMIT must not be negative
    reading = reader.read(["mine"])
    assert isinstance(reading, Reading)
    assert len(reading.depths) == 1
    assert reading.unserved == {}


def test_a_name_that_no_pool_may_have_is_cut(reader, insert):
    insert("x" * 900, age_seconds=90)
    assert found(reader, "mine") == {"x" * 200: Unserved(1, pytest.approx(90, abs=5))}
