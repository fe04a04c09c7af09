"""Tests what is learned from a reading, and which readings must not be learned from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobtide_controller.api.status import JobWorkerPoolStatus, Learned, TypeStatus
from jobtide_controller.decide.history import Group, History, Recommendation, restored, with_recommendation
from jobtide_controller.decide.history import Learned as LearnedType
from jobtide_controller.decide.learn import estimated_due, group_of, learn
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
