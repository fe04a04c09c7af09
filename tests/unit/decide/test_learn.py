"""Tests what is learned from a reading, and which readings must not be learned from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobtide_controller.api.status import JobWorkerPoolStatus, Learned, TypeStatus
from jobtide_controller.decide.fallen_due import group_of
from jobtide_controller.decide.history import Group, History, Recommendation, restored, with_recommendation
from jobtide_controller.decide.history import Learned as LearnedType
from jobtide_controller.decide.learn import estimated_due, learn
from jobtide_controller.decide.reading import OTHERS, Depth, Key, Reading
from tests.unit.decide.builders import NOW, A, B, spec

NO_CAPS = spec().tenants


def _after(*steps: tuple[float, dict[Key, Depth]], history: History | None = None, tenants=NO_CAPS) -> History:
    history = history or History()
    for at, depths in steps:
        history = learn(tenants, Reading(NOW + at, depths), history)
    return history


def test_service_time_is_slot_seconds_divided_by_ended_jobs():
    steady = [(t, {A: Depth(due=0, running=12, arrivals=4)}) for t in range(300)]
    assert _after(*steady).learned("a").service_seconds == pytest.approx(3.0, rel=0.05)


def test_service_time_is_learned_separately_for_each_type():
    steady = [(t, {A: Depth(running=10, arrivals=10), B: Depth(running=10, arrivals=1)}) for t in range(300)]
    history = _after(*steady)
    assert history.learned("a").service_seconds == pytest.approx(1.0, rel=0.05)
    assert history.learned("b").service_seconds == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize(
    ("before", "after", "seconds"),
    [
        pytest.param(Depth(due=9, running=4, capped=True), Depth(due=5, running=4), 1, id="counting-stopped-before"),
        pytest.param(Depth(due=9, running=4), Depth(due=5, running=4, capped=True), 1, id="counting-stopped-now"),
        pytest.param(Depth(due=9, running=4), Depth(due=5, running=4), 21, id="gap-between-readings"),
        pytest.param(Depth(due=9, running=4), Depth(due=9, running=0, later=4), 1, id="every-attempt-failed"),
        pytest.param(Depth(due=9), Depth(due=9), 1, id="nothing-ran-and-nothing-ended"),
        pytest.param(Depth(due=9, running=4), Depth(due=5, running=4), 0, id="the-same-moment"),
        pytest.param(Depth(due=9, running=4), Depth(due=5, running=4), -5, id="a-clock-set-back"),
    ],
)
def test_misleading_samples_are_not_used(before, after, seconds):
    known = LearnedType(slot_seconds=30, jobs=10, ran_seconds=60)
    history = _after((0, {A: before}), (seconds, {A: after}), history=History(types={"a": known}))
    assert history.learned("a").service_seconds == known.service_seconds


def test_clock_set_back_by_more_than_a_minute_restarts_learning_but_keeps_service_times():
    known = LearnedType(slot_seconds=30, jobs=10)
    history = _after((0, {A: Depth(due=1)}), (1, {A: Depth(due=5, arrivals=4)}), history=History(types={"a": known}))
    back = learn(NO_CAPS, Reading(NOW - 3_600, {A: Depth(due=5)}), history)
    assert (back.read_at, dict(back.flow)) == (NOW - 3_600, {})
    assert back.learned("a").jobs > 0


def test_scheduled_rows_are_no_load_until_they_fall_due():
    scheduled = _after((0, {}), (1, {A: Depth(later=300, arrivals=300)}))
    due = learn(NO_CAPS, Reading(NOW + 2, {A: Depth(due=300)}), scheduled)
    assert dict(scheduled.flow) == {}
    assert sum(piece.rows for piece in due.flow[Group("a", None)]) == 300


def test_tenant_with_a_cap_is_counted_alone():
    tenants = spec(tenants={"overrides": {"t1": 5}}).tenants
    assert group_of(tenants, A) == Group("a", "t1")
    assert group_of(tenants, B) == Group("b", None)


def test_due_rows_beyond_the_count_are_estimated_from_arrivals_and_slots():
    history = _after((0, {A: Depth(due=1_000)}), (2, {A: Depth(due=1_000, capped=True, arrivals=4_000)}))
    assert history.counts[A].estimate == 5_000
    later = learn(NO_CAPS, Reading(NOW + 4, {A: Depth(due=1_000, capped=True, arrivals=200, running=40)}), history)
    assert later.counts[A].estimate == 5_000 + 200 - 80


def test_estimate_is_never_below_the_count():
    assert estimated_due(A, Depth(due=700, capped=True), History()) == 700


def test_key_without_rows_is_not_kept():
    history = _after((0, {A: Depth(due=3, running=1)}), (1, {}))
    assert dict(history.counts) == {}


@pytest.mark.parametrize(
    ("readings", "since"),
    [
        pytest.param([(0, {A: Depth(running=4)}), (1, {A: Depth(failed=2)})], 1, id="attempts fail"),
        pytest.param([(0, {A: Depth(failed=2)}), (9, {A: Depth(failed=1)})], 0, id="since the first of them"),
        pytest.param([(0, {A: Depth(failed=2)}), (9, {A: Depth(due=4, running=4)})], 0, id="none ended since"),
        pytest.param([(0, {A: Depth(due=9, failed=2)}), (1, {A: Depth(due=5)})], 0, id="rows end, and fail"),
        pytest.param([(0, {A: Depth(failed=2)}), (1, {A: Depth(failed=9, succeeded=1)})], None, id="one succeeds"),
        pytest.param(
            [(0, {A: Depth(failed=2)}), (1, {B: Depth(succeeded=1)})], None, id="one of another type succeeds"
        ),
        pytest.param([(0, {A: Depth(failed=2)}), (59, {})], 0, id="empty for a while"),
        pytest.param([(0, {A: Depth(failed=2)}), (60, {})], None, id="empty for a minute"),
        pytest.param([(0, {A: Depth(failed=1)}), (50, {A: Depth(failed=1)}), (80, {})], 0, id="a minute from the last"),
        pytest.param(
            [(0, {A: Depth(failed=2)}), (600, {A: Depth(later=2, next_due_at=NOW + 999)})], 0, id="in a long backoff"
        ),
        pytest.param([(0, {A: Depth(failed=2)}), (60, {A: Depth(later=1)})], None, id="the remaining row is never due"),
        pytest.param(
            [(0, {A: Depth(due=4, running=4)}), (1, {A: Depth(due=4, later=9, arrivals=9)})], None, id="new rows"
        ),
    ],
)
def test_a_pool_is_failing_from_the_first_failure_to_the_first_success(readings, since):
    failing = _after((-1, {}), *readings).failing
    assert (None if failing is None else failing.since - NOW) == since


def test_restarted_controller_restores_service_times_from_the_status():
    kept = TypeStatus(type="a", learned=Learned(slot_seconds=120, jobs=40))
    history = restored(JobWorkerPoolStatus(types=(kept, TypeStatus(type="b"))))
    assert history.learned("a").service_seconds == pytest.approx(122 / 42)
    assert (history.learned("b").service_seconds, history.recommendations) == (1.0, ())


def test_new_pool_has_learned_nothing():
    assert restored(None) == History()


@pytest.mark.parametrize(
    ("earlier", "replicas", "expected"),
    [
        pytest.param((), 2, [7, 2], id="starts-with-the-current-replicas"),
        pytest.param(((0, 3), (5, 2)), 5, [5], id="higher-number-replaces-all-lower-ones"),
        pytest.param(((0, 5), (5, 3)), 2, [5, 3, 2], id="all-falling-numbers-are-kept"),
        pytest.param(((-30, 5), (5, 3)), 2, [3, 2], id="older-than-the-hold-is-dropped"),
        pytest.param(((5_000, 5),), 2, [5, 2], id="clock-set-back-counts-as-now"),
    ],
)
def test_only_recommendations_that_can_still_be_the_highest_are_kept(earlier, replicas, expected):
    history = replace(History(), recommendations=tuple(Recommendation(NOW + at, number) for at, number in earlier))
    after = with_recommendation(history, now=NOW + 10, replicas=replicas, current=7, hold_seconds=20)
    assert [one.replicas for one in after.recommendations] == expected
    assert all(one.at <= NOW + 10 for one in after.recommendations)


def test_scheduled_rows_of_a_tenant_that_gets_or_loses_its_name_fall_not_due():
    """Both ways: the same rows are counted among the others in one reading, and by their tenant in the next."""
    limited, rest = spec(tenants={"maxConcurrent": 2}).tenants, Key("a", OTHERS)
    unnamed = Reading(NOW, {rest: Depth(later=50, tenants=20)})
    named = Reading(NOW + 1, {rest: Depth(later=40, tenants=19), A: Depth(due=3, later=10)})
    again = replace(unnamed, taken_at=NOW + 2)
    history = History()
    for reading in (unnamed, named, again):
        history = learn(limited, reading, history)
        assert sum(piece.rows for pieces in history.flow.values() for piece in pieces) == 0


def _failing(rate: int, attempts: int, backoff: int = 30, seconds: int = 240) -> History:
    """`rate` jobs a second, each of which fails `attempts` times at once and then succeeds."""
    history, later = History(), 0
    for second in range(seconds):
        returns = sum(rate for number in range(1, attempts + 1) if second >= number * backoff)
        put_off = sum(rate for number in range(attempts) if second >= number * backoff)
        later += put_off - returns
        history = learn(NO_CAPS, Reading(NOW + second, {A: Depth(arrivals=rate, later=later, running=1)}), history)
    return history


@pytest.mark.parametrize("attempts", [0, 1, 4])
def test_a_job_that_is_tried_again_falls_due_once(attempts):
    """Its attempts are in the slot seconds that it takes, so the load would have them twice."""
    pieces = _failing(3, attempts).flow[Group("a", None)]
    assert sum(piece.rows for piece in pieces if piece.at > NOW + 179) == 3 * 60


def test_rows_that_never_return_hide_no_new_ones():
    history = _after((0, {A: Depth(due=50)}), (1, {A: Depth(later=50)}), (2, {A: Depth(later=50, due=4, arrivals=4)}))
    assert history.put_off == {Group("a", None): 50}
    assert sum(piece.rows for piece in history.flow[Group("a", None)]) == 4
    assert not learn(NO_CAPS, Reading(NOW + 3, {A: Depth(due=4)}), history).put_off


def test_jobs_that_become_slower_are_noticed_within_seconds():
    quick = [(t, {A: Depth(running=1, arrivals=5)}) for t in range(300)]
    known = _after(*quick).learned("a").service_seconds
    slow = [(300 + t, {A: Depth(running=min(5 * t, 50), arrivals=5, due=0)}) for t in range(15)]
    history = _after(*quick, *slow)
    assert known < 0.3
    assert history.learned("a").service_seconds > 3.0 * history.learned("a").lasting_service_seconds


def test_the_first_long_jobs_are_no_load_of_endless_ones():
    """Half a job a second of 60 s: after 50 s 25 run, for 25 s on average, and none has ended."""
    first = [(t, {A: Depth(running=(t + 1) // 2, arrivals=t % 2)}) for t in range(50)]
    learned = _after(*first).learned("a")
    assert learned.service_seconds > 200
    assert 50 < learned.load_service_seconds < 100


CAPPED = {"due": 1_000, "capped": True}


@pytest.mark.parametrize(
    ("depth", "service_seconds"),
    [
        pytest.param({"followed": 64, "followed_ended": 4, "followed_seconds": 62.0}, 15.5, id="a-sixteenth-ended"),
        pytest.param({"followed": 64, "followed_ended": 64, "followed_seconds": 32.0}, 0.75, id="all-ended"),
    ],
)
def test_where_counting_stopped_service_time_is_learned_from_the_jobs_that_were_followed(depth, service_seconds):
    steps = [(t, {A: Depth(running=160, **CAPPED, **depth)}) for t in range(300)]
    assert _after(*steps).learned("a").service_seconds == pytest.approx(service_seconds, rel=0.05)


@pytest.mark.parametrize(
    "depth",
    [
        pytest.param({}, id="none-was-followed"),
        pytest.param({"followed": 8, "followed_seconds": 8.0, "failed": 3}, id="all-that-ended-failed"),
    ],
)
def test_where_counting_stopped_nothing_is_learned_without_ends(depth):
    known = LearnedType(slot_seconds=30, jobs=10)
    steps = [(t, {A: Depth(running=160, **CAPPED, **depth)}) for t in range(30)]
    assert _after(*steps, history=History(types={"a": known})).learned("a").service_seconds == known.service_seconds


def test_a_sample_of_the_table_says_how_many_rows_counting_left_out():
    first = _after((0, {A: Depth(due=1_000, capped=True, about=300_000)}))
    assert first.counts[A].estimate == 300_000
    later = learn(NO_CAPS, Reading(NOW + 1, {A: Depth(due=1_000, capped=True, arrivals=500)}), first)
    assert later.counts[A].estimate == 300_500
    less = learn(NO_CAPS, Reading(NOW + 2, {A: Depth(due=1_000, capped=True, about=7)}), later)
    assert less.counts[A].estimate == 1_000
