"""Tests the number of workers that the promise requires, before any limit, with worked examples."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from jobtide_controller.decide.arrival_rate import Piece
from jobtide_controller.decide.history import Group, History, Learned
from jobtide_controller.decide.load import NO_LOAD, band, base, hold, lasting_load, load_has_ended
from jobtide_controller.decide.need import Situation, need, startable, youngest_age
from jobtide_controller.decide.reading import Depth, Key, Reading
from jobtide_controller.decide.required import numbers_of
from jobtide_controller.decide.scaling import decide
from tests.unit.decide.builders import NOW, A, B, fleet, spec

STEADY = tuple(Piece(NOW - age, 4.0) for age in reversed(range(60)))
KNOWN = Learned(slot_seconds=1_000, jobs=1_000)
SLOW = Learned(slot_seconds=6_000, jobs=100)


def _situation(depths=None, *, fields=None, workers=None, **history) -> Situation:
    past = History(began_at=NOW - 3_600, read_at=NOW, **history)
    policy = spec(**{"maxWaitSeconds": 30, "maxReplicas": 200, **(fields or {})})
    return Situation(policy, Reading(NOW, depths or {}), workers or fleet(0, start_seconds=0.0), past, NOW)


@pytest.mark.parametrize(
    ("depth", "learned", "slots"),
    [
        pytest.param(Depth(due=3_000), {}, 125, id="short-jobs-share-slots"),
        pytest.param(Depth(due=100), {"a": SLOW}, 100, id="long-jobs-need-one-each"),
        pytest.param(
            Depth(due=60, oldest_age_seconds=14, mean_age_seconds=14), {}, 6, id="half-the-promise-has-passed"
        ),
        pytest.param(Depth(due=60, oldest_age_seconds=99, mean_age_seconds=99), {}, 10, id="late-rows-get-a-fifth"),
    ],
)
def test_backlog_needs_the_slots_that_start_it_in_time(depth, learned, slots):
    assert need(_situation({A: depth}, types=learned), 0.0).queue_slots == pytest.approx(slots, rel=0.04)


def test_time_until_workers_are_up_increases_the_need_of_waiting_rows():
    situation = _situation({A: Depth(due=480)})
    assert need(situation, 12.0).slots == pytest.approx(2 * need(situation, 0.0).slots)


def test_waiting_rows_of_a_tenant_need_only_the_slots_that_its_cap_leaves():
    situation = _situation({A: Depth(due=60_000, running=10)}, fields={"tenants": {"maxConcurrent": 16}})
    assert need(situation, 0.0).queue_slots == 6


def test_running_jobs_hold_their_slots_for_a_part_of_the_time_left():
    short = need(_situation({A: Depth(running=8)}), 0.0).occupied_slots
    long = need(_situation({A: Depth(running=8)}, types={"a": SLOW}), 0.0).occupied_slots
    assert short < 1
    assert 6 < long < 8


@pytest.mark.parametrize(
    ("depth", "age"),
    [
        pytest.param(Depth(due=9, oldest_age_seconds=6, mean_age_seconds=4), 2, id="spread-evenly"),
        pytest.param(Depth(due=9, oldest_age_seconds=6, mean_age_seconds=1), 0, id="mostly-young"),
        pytest.param(Depth(due=9, oldest_age_seconds=6, mean_age_seconds=6), 6, id="all-of-one-age"),
        pytest.param(Depth(due=9, oldest_age_seconds=6, mean_age_seconds=1, capped=True), 6, id="counting-stopped"),
    ],
)
def test_time_left_counts_from_the_youngest_row(depth, age):
    assert youngest_age(depth) == age


def test_lasting_load_is_rate_times_service_time():
    load = lasting_load(_situation(flow={Group("a", None): STEADY}))
    assert load.slots == pytest.approx(4.0, rel=0.05)
    assert load.silence_seconds == 0


def test_a_clock_set_back_changes_no_load():
    situation = _situation(flow={Group("a", None): STEADY})
    behind = replace(situation, reading=Reading(NOW - 50, {}))
    assert lasting_load(behind) == lasting_load(situation)


@pytest.mark.parametrize("age", [math.nan, math.inf, -math.inf, -5.0])
def test_an_age_that_is_no_number_counts_as_new(age):
    odd = Depth(due=60, oldest_age_seconds=age, mean_age_seconds=age)
    assert numbers_of(_situation({A: odd})) == numbers_of(_situation({A: Depth(due=60)}))


@pytest.mark.parametrize(
    ("counted", "about", "workers"),
    [
        pytest.param(10_000, 0, 105, id="counted"),
        pytest.param(10_000, 20_000, 209, id="twice-as-many"),
        pytest.param(10_000, 1_000_000, 10_417, id="a-million"),
    ],
)
def test_rows_beyond_the_count_are_sized_like_those_within(counted, about, workers):
    depth = Depth(due=counted, capped=bool(about), about=about)
    reading, policy = Reading(NOW, {A: depth}), spec(maxWaitSeconds=30, maxReplicas=10_000)
    decision = decide(policy, reading, fleet(0, start_seconds=0.0), History(types={"a": KNOWN}), NOW)
    assert decision.numbers is not None
    assert decision.numbers.required == workers
    assert (decision.numbers.capped, decision.numbers.uncounted) == (int(bool(about)), max(0, about - counted))


def test_lasting_load_of_a_tenant_is_at_most_its_cap():
    fields = {"tenants": {"overrides": {"t1": 2}}}
    flow = {Group("a", "t1"): STEADY, Group("a", None): STEADY}
    assert lasting_load(_situation(fields=fields, flow=flow)).slots == pytest.approx(2 + 4, rel=0.05)


@pytest.mark.parametrize(
    ("slots", "service_seconds", "expected"),
    [
        pytest.param(9, 1, 9.033, id="short-jobs-need-no-headroom"),
        pytest.param(9, 60, 11, id="long-jobs-need-two-thirds-of-a-deviation"),
        pytest.param(9, 600, 12, id="never-more-than-one-deviation"),
        pytest.param(0, 60, 0, id="no-load-no-headroom"),
    ],
)
def test_base_adds_headroom_for_long_jobs_only(slots, service_seconds, expected):
    assert base(slots, service_seconds, promise=30) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize(
    ("slots", "service_seconds", "expected"),
    [
        pytest.param(9.033, 1, (3, 3), id="inside"),
        pytest.param(4.9, 1, (1, 2), id="both-are-enough"),
        pytest.param(8, 60, (2, 3), id="long-jobs-have-no-tail"),
        pytest.param(0.01, 1, (1, 1), id="any-load-gets-a-worker"),
        pytest.param(0, 1, (0, 0), id="no-load-no-worker"),
    ],
)
def test_band_keeps_a_load_on_the_edge_from_flapping(slots, service_seconds, expected):
    assert band(slots, service_seconds, promise=30, concurrency=4) == expected


@pytest.mark.parametrize(
    ("start_seconds", "service_seconds", "fields", "expected"),
    [
        pytest.param(5.7, 1, {}, 11.4, id="twice-the-start"),
        pytest.param(1, 1, {}, 10, id="at-least-ten"),
        pytest.param(5.7, 60, {}, 15, id="a-quarter-of-a-long-job"),
        pytest.param(120, 1, {}, 60, id="at-most-a-minute"),
        pytest.param(5.7, 1, {"scaleDown": {"stabilizationSeconds": 300}}, 300, id="set-by-the-user"),
        pytest.param(5.7, 1, {"scaleDown": {"stabilizationSeconds": 0}}, 0, id="set-to-none-by-the-user"),
    ],
)
def test_hold_follows_start_and_service_time(start_seconds, service_seconds, fields, expected):
    load = NO_LOAD._replace(service_seconds=service_seconds)
    assert hold(spec(**fields), fleet(start_seconds=start_seconds), load) == expected


@pytest.mark.parametrize(
    ("depths", "silence", "rate", "ended"),
    [
        pytest.param({A: Depth(due=1)}, 999, 0.0, False, id="something-waits"),
        pytest.param({A: Depth(running=1)}, 999, 0.0, False, id="something-runs"),
        pytest.param({A: Depth(later=1)}, 37, 1.0, True, id="no-row-for-longer-than-the-warm-time"),
        pytest.param({}, 1, 0.02, True, id="next-row-expected-late"),
        pytest.param({}, 1, 0.05, False, id="next-row-expected-soon"),
    ],
)
def test_last_worker_stays_only_for_a_row_that_is_expected_soon(depths, silence, rate, ended):
    load = NO_LOAD._replace(silence_seconds=silence, rows_per_second=rate)
    assert load_has_ended(_situation(depths), load, hold_seconds=12) is ended


@pytest.mark.parametrize(
    ("depths", "fields", "required"),
    [
        pytest.param({}, {}, 0, id="nothing"),
        pytest.param({A: Depth(due=1)}, {}, 1, id="one-row"),
        pytest.param({A: Depth(running=9)}, {}, 1, id="short-jobs-soon-leave-their-slots"),
        pytest.param({A: Depth(due=1_000), B: Depth(due=1_000)}, {}, 21, id="two-types-add-up"),
        pytest.param({A: Depth(due=900, running=100)}, {"jobsPerWorker": 200}, 5, id="jobs-per-worker"),
        pytest.param({A: Depth(later=1)}, {"jobsPerWorker": 200}, 0, id="jobs-per-worker-scheduled"),
        pytest.param(
            {A: Depth(due=900)}, {"jobsPerWorker": 10, "tenants": {"maxConcurrent": 30}}, 3, id="jobs-per-worker-capped"
        ),
    ],
)
def test_required_number_of_workers(depths, fields, required):
    policy = {"maxWaitSeconds": None, **fields} if "jobsPerWorker" in fields else fields
    assert numbers_of(_situation(depths, fields=policy)).required == required


def test_startable_rows_of_a_tenant_are_at_most_what_its_cap_leaves():
    tenants = {"maxConcurrent": 5}
    depths = {A: Depth(due=100, running=3), Key("b", "t1"): Depth(due=100), B: Depth(due=2)}
    assert startable(_situation(depths, fields={"tenants": tenants})) == 2 + 2
