"""How readings follow the ends of attempts: the evidence behind AllFailing."""

from __future__ import annotations

import pytest

from jobtide_controller.api.spec import Tenants
from jobtide_controller.decide.history import Failing, History
from jobtide_controller.decide.learn import learn
from jobtide_controller.decide.reading import Depth, Reading
from jobtide_controller.postgres.readings import WATCH_RUNNING

POD = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def ended(reader):
    """ended(*types): (succeeded, failed) as the next reading counts them."""

    def read(*types: str) -> tuple[int, int]:
        reading = reader.read(types or ("a",))
        assert isinstance(reading, Reading), reading
        depths: list[Depth] = list(reading.depths.values())
        return sum(depth.succeeded for depth in depths), sum(depth.failed for depth in depths)

    return read


@pytest.fixture
def running(insert):
    """A row that was created long ago and is in its second attempt."""
    return insert("a", age_seconds=600, status="processing", worker_id=f"jobtide:{POD}:1", attempts=2)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param("status = 'completed'", (1, 0), id="completed"),
        pytest.param("status = 'failed'", (0, 1), id="out of attempts"),
        pytest.param("status = 'pending', next_retry_at = now() + interval '1 h'", (0, 1), id="backs off"),
        pytest.param("status = 'pending'", (0, 1), id="to be retried at once"),
        pytest.param("status = 'pending', attempts = 1", (0, 0), id="requeued without counting, or snoozed"),
        pytest.param("attempts = 3, worker_id = 'jobtide:other:1'", (0, 1), id="runs again"),
        pytest.param("next_retry_at = now() + interval '1 min'", (0, 0), id="still runs"),
    ],
)
def test_a_row_that_ran_at_the_last_reading_is_followed(ended, running, app, change, expected):
    assert ended() == (0, 0)
    app.execute(f"UPDATE job_queue SET {change} WHERE id = %s", [running])
    assert ended() == expected


@pytest.mark.parametrize(
    ("change", "ended_jobs", "share"),
    [
        pytest.param("status = 'completed', completed_at = now()", 1, None, id="completed"),
        pytest.param("status = 'failed', completed_at = now() - interval '1 h'", 1, 0, id="ended before, says a clock"),
        pytest.param("status = 'completed', completed_at = NULL", 1, 1, id="without the time of its end"),
        pytest.param("status = 'completed', completed_at = 'infinity'", 1, 1, id="with an end that is none"),
        pytest.param("status = 'completed', completed_at = '-infinity'", 1, 0, id="with an end before all"),
        pytest.param("status = 'pending', next_retry_at = now() + interval '1 h'", 0, 1, id="backs off"),
        pytest.param("attempts = 2", 0, 1, id="still runs"),
    ],
)
def test_a_followed_row_says_how_long_it_ran_and_whether_its_job_ended(reader, running, app, change, ended_jobs, share):
    first = reader.read(("a",))
    app.execute(f"UPDATE job_queue SET {change} WHERE id = %s", [running])
    second = reader.read(("a",))
    assert isinstance(first, Reading)
    assert isinstance(second, Reading)
    (depth,) = second.depths.values()
    whole = second.taken_at - first.taken_at
    assert (depth.followed, depth.followed_ended) == (1, ended_jobs)
    if share is None:
        assert 0 < depth.followed_seconds < whole
    else:
        assert depth.followed_seconds == pytest.approx(share * whole)


def test_an_end_is_counted_once(ended, running, app):
    ended()
    app.execute("UPDATE job_queue SET status = 'completed' WHERE id = %s", [running])
    assert [ended(), ended()] == [(1, 0), (0, 0)]


def test_a_deleted_row_counts_as_nothing(ended, running, app):
    ended()
    app.execute("DELETE FROM job_queue")
    assert ended() == (0, 0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param("status = 'pending', attempts = 4, next_retry_at = now() + interval '1 h'", (0, 1), id="failed"),
        pytest.param("status = 'failed', attempts = 4", (0, 1), id="out of attempts"),
        pytest.param("status = 'completed', attempts = 4", (1, 0), id="completed"),
        pytest.param("status = 'processing', attempts = 4, worker_id = 'jobtide:x:1'", (0, 0), id="runs now"),
        pytest.param("next_retry_at = NULL", (0, 0), id="waits"),
    ],
)
def test_a_retry_that_is_about_to_start_is_followed_even_if_no_reading_sees_it_run(
    ended, insert, app, change, expected
):
    row = insert("a", age_seconds=600, retry_in_seconds=2, attempts=3)
    assert ended() == (0, 0)
    app.execute(f"UPDATE job_queue SET {change} WHERE id = %s", [row])
    assert ended() == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        pytest.param({"status": "completed", "attempts": 1}, (1, 0), id="completed"),
        pytest.param({"status": "failed", "attempts": 1}, (0, 1), id="failed"),
        pytest.param({"attempts": 1, "retry_in_seconds": 60}, (0, 1), id="failed, to be retried"),
        pytest.param({"attempts": 0, "retry_in_seconds": 60}, (0, 0), id="snoozed, or requeued without counting"),
    ],
)
def test_a_row_that_arrived_and_ended_between_two_readings_counts(ended, insert, columns, expected):
    ended()
    insert("a", worker_id=f"jobtide:{POD}:1", **columns)
    assert ended() == expected


def test_attempts_of_other_consumers_are_not_counted(ended, insert, app):
    insert("a", age_seconds=600, status="processing", worker_id="worker_1", attempts=1)
    ended()
    app.execute("UPDATE job_queue SET status = 'failed'")
    insert("a", status="completed", worker_id="worker_1")
    insert("a", status="failed")
    assert ended() == (0, 0)


def test_types_that_no_pool_asks_for_are_not_followed(ended, insert, app):
    insert("b", age_seconds=600, status="processing", worker_id=f"jobtide:{POD}:1", attempts=1)
    ended("a")
    app.execute("UPDATE job_queue SET status = 'failed'")
    assert ended("a", "b") == (0, 0)


def test_some_running_rows_of_each_type_are_followed_if_there_are_many(ended, insert, app):
    for number in range(3 * WATCH_RUNNING):
        insert("a", age_seconds=600, status="processing", worker_id=f"jobtide:{POD}:{number}", attempts=1)
    insert("b", age_seconds=600, status="processing", worker_id=f"jobtide:{POD}:b", attempts=1)
    ended("a", "b")
    app.execute("UPDATE job_queue SET status = (CASE type WHEN 'b' THEN 'completed' ELSE 'failed' END)::job_status")
    assert ended("a", "b") == (1, WATCH_RUNNING - 1)


def test_nothing_is_followed_while_nothing_runs(reader, insert):
    insert("a")
    insert("a", retry_in_seconds=3_600)
    reader.read(["a"])
    assert reader._watched.ids == ()


def test_all_failing_lasts_while_rows_run_out_of_attempts_and_ends_at_the_first_success(reader, insert, app):
    def look() -> Failing | None:
        nonlocal history
        history = learn(Tenants(), reader.read(["a"]), history)
        return history.failing

    history, seen = History(), []
    look()
    for step in range(4):
        row = insert("a", age_seconds=600, status="processing", worker_id=f"jobtide:{POD}:{step}", attempts=5)
        seen.append(look())
        app.execute("UPDATE job_queue SET status = 'failed' WHERE id = %s", [row])
    assert seen[0] is None
    assert seen[1] is not None
    assert {failing.since for failing in seen[1:]} == {seen[1].since}
    good = insert("a", age_seconds=600, status="processing", worker_id=f"jobtide:{POD}:good", attempts=1)
    assert look() is not None
    app.execute("UPDATE job_queue SET status = 'completed' WHERE id = %s", [good])
    assert look() is None


def test_the_attempts_of_a_real_worker_are_counted_though_they_are_shorter_than_a_pass(
    reader, run_worker, insert, app, wait_until
):
    """AllFailing lasts until all jobs have failed finally; one job that succeeds clears it."""

    def look() -> bool:
        nonlocal history
        history = learn(Tenants(), reader.read(["boom", "echo"]), history)
        return history.failing is not None

    def all_ended() -> bool:
        looks.append(look())
        return app.execute("SELECT bool_and(status = 'failed') FROM job_queue").fetchone()[0]

    history, looks = History(), []
    look()
    for _ in range(20):
        insert("boom")
    run_worker(JOBTIDE_RETRY_BASE_SECONDS="0.5")
    wait_until(look)
    wait_until(all_ended)
    assert all(looks)
    insert("echo")
    wait_until(lambda: not look())
