"""Limits of tenants from both sources: which one counts, when they end, and that sizes keep to them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.api.spec import MOST_CONCURRENT, TenantLimit, Tenants
from jobtide_controller.decide.history import History, Learned
from jobtide_controller.decide.limits import (
    ALL_TYPES,
    Limit,
    PoolLimits,
    in_force,
    least_limits,
    paused,
    pool_limits,
    shared_of,
    with_limits,
)
from jobtide_controller.decide.reading import OTHERS, Depth, Key, Reading
from jobtide_controller.decide.reasons import Note
from jobtide_controller.decide.scaling import decide
from tests.unit.decide.builders import NOW, fleet, spec

T1, KEY = "t1", Key("a", "t1")
SOON, PAST = NOW + 60, NOW - 60
KNOWN = History(types={"a": Learned(60_000.0, 100.0, 100.0)})  # jobs of 600 s: each needs a slot of its own

ends = st.sampled_from([None, PAST, NOW, SOON])
limits = st.builds(Limit, st.none() | st.integers(0, 9), st.none() | st.integers(1, 9), ends)


def tenants(cap=None, own=None):
    until = None if own is None or own.until is None else datetime.fromtimestamp(own.until, UTC)
    one = {} if own is None else {T1: {"maxConcurrent": own.max_concurrent, "weight": own.weight, "until": until}}
    return Tenants.model_validate({"maxConcurrent": cap, "limits": one})


@given(cap=st.none() | st.integers(1, 9), own=st.none() | limits, view=st.none() | limits)
def test_each_value_comes_from_the_first_source_that_has_it_and_holds(cap, own, view):
    shared = {} if view is None else {Key(ALL_TYPES, T1): view}
    found = in_force(tenants(cap, own), shared, [KEY], NOW)
    holding = [one for one in (own, view) if one is not None and (one.until is None or one.until > NOW)]
    caps = [one.max_concurrent for one in holding if one.max_concurrent is not None]
    weights = [one.weight for one in holding if one.weight is not None]
    assert found.cap_of(T1) == (caps[0] if caps else cap)
    assert found.cap_of("another") == cap
    assert (found.limits[T1].weight if T1 in found.limits else None) == (weights[0] if weights else None)


@given(cap=st.none() | st.integers(1, 9), own=st.none() | limits, view=st.none() | limits)
def test_the_end_that_is_shown_is_when_the_next_value_changes(cap, own, view):
    shared = {} if view is None else {Key(ALL_TYPES, T1): view}
    now = in_force(tenants(cap, own), shared, [KEY], NOW)
    until = now.limits[T1].until if T1 in now.limits else None
    assert until is None or until.timestamp() == SOON


def test_a_limit_of_one_type_holds_beside_that_of_all():
    found = in_force(tenants(4), {KEY: Limit(1)}, [KEY, Key("b", T1)], NOW)
    assert (found.cap_of(T1), found.type_cap_of("a", T1), found.type_cap_of("b", T1)) == (4, 1, None)


@pytest.mark.parametrize(
    ("own", "typed", "shown"),
    [
        pytest.param(None, Limit(2, 5, SOON), (2, 5, SOON), id="all that it says"),
        pytest.param(None, Limit(None, 5), (None, 5, None), id="a weight alone"),
        pytest.param(Limit(None, 3), Limit(2, 5), (2, None, None), id="the pool's own weight comes first"),
        pytest.param(Limit(None, 3), Limit(None, 5), None, id="nothing is left of it"),
        pytest.param(Limit(None, 3, NOW - 1), Limit(None, 5), (None, 5, None), id="the pool's own is over"),
        pytest.param(None, Limit(2, 5, NOW - 1), None, id="it is over"),
    ],
)
def test_what_is_shown_of_a_limit_of_one_type_is_what_claims_follow(own, typed, shown):
    limit = in_force(tenants(4, own), {KEY: typed}, [KEY], NOW).type_limit_of("a", T1)
    until = None if limit is None or limit.until is None else limit.until.timestamp()
    assert (limit and (limit.max_concurrent, limit.weight, until)) == shown


def test_tenants_counted_together_have_no_limit():
    assert in_force(tenants(4), {}, [Key("a", OTHERS)], NOW).limits == {}


def test_a_spec_without_limits_is_the_same_object():
    one = spec(tenants={"maxConcurrent": 4})
    assert with_limits(one, {}, Reading(NOW, {})) is one


def size(depths, shared=None, **fields):
    policy = with_limits(spec(maxReplicas=40, concurrency=1, **fields), shared or {}, Reading(NOW, depths))
    return decide(policy, Reading(NOW, depths), fleet(0), KNOWN, NOW).replicas


DEEP = Depth(due=500, oldest_age_seconds=600, mean_age_seconds=300)


@pytest.mark.parametrize(
    ("shared", "fields", "replicas"),
    [
        pytest.param({}, {}, 40, id="without a limit"),
        pytest.param({}, {"tenants": {"overrides": {T1: 3}}}, 3, id="an override"),
        pytest.param({}, {"tenants": {"overrides": {T1: 0}}}, 0, id="paused by the pool"),
        pytest.param({Key(ALL_TYPES, T1): Limit(0)}, {}, 0, id="paused by the view"),
        pytest.param({Key(ALL_TYPES, T1): Limit(0, None, PAST)}, {}, 40, id="a pause that is over"),
        pytest.param({Key(ALL_TYPES, T1): Limit(5)}, {}, 5, id="limited by the view"),
        pytest.param({KEY: Limit(2)}, {}, 2, id="limited in its type"),
        pytest.param({KEY: Limit(0)}, {}, 0, id="paused in its type"),
        pytest.param({KEY: Limit(0)}, {"jobsPerWorker": 1}, 0, id="paused, with jobs per worker"),
        pytest.param({Key(ALL_TYPES, T1): Limit(None, 5)}, {}, 40, id="a weight limits nothing"),
    ],
)
def test_workers_are_asked_for_within_the_limits(shared, fields, replicas):
    assert size({KEY: DEEP}, shared, **fields) == replicas


def test_jobs_of_a_paused_tenant_miss_no_promise_and_those_of_others_do():
    paused_one = {"tenants": {"overrides": {T1: 0}}}
    for depths, late in (({KEY: DEEP}, 0.0), ({KEY: DEEP, Key("a", "t2"): DEEP}, 600.0)):
        decision = decide(spec(**paused_one), Reading(NOW, depths), fleet(0), KNOWN, NOW)
        assert decision.numbers.oldest_seconds == late


@pytest.mark.parametrize("promises", [{}, {"a": 30}, {"b": 30}], ids=["one", "of its type", "of another type"])
@pytest.mark.parametrize("shared", [{Key(ALL_TYPES, T1): Limit(0)}, {KEY: Limit(0)}], ids=["all types", "its type"])
def test_jobs_of_a_paused_tenant_are_not_late_whatever_promises_there_are(promises, shared):
    for depths, is_late in (({KEY: DEEP}, False), ({KEY: DEEP, Key("a", "t2"): DEEP}, True)):
        reading = Reading(NOW, depths)
        decision = decide(with_limits(spec(promises=promises), shared, reading), reading, fleet(0), KNOWN, NOW)
        assert (Note.PROMISE_MISSED in decision.notes) == is_late


def sizes(shared, until_gone=60, promises=None):
    """Jobs of one tenant that arrive and do not run; then its rows are gone, and another tenant has one."""
    policy, history, found = spec(maxReplicas=40, concurrency=1, promises=promises or {}), KNOWN, []
    for second in range(until_gone + 2):
        waiting = Depth(due=10 * (second + 1), arrivals=10, oldest_age_seconds=second, mean_age_seconds=second / 2)
        depths = {KEY: waiting} if second < until_gone else {Key("b", "t2"): Depth(running=1)}
        reading = Reading(NOW + second, depths)
        limited = with_limits(policy, shared, reading, history)
        decision = decide(limited, reading, fleet(0), history, NOW + second)
        history = decision.history
        found.append(decision.replicas)
    return found


@pytest.mark.parametrize("promises", [{}, {"a": 30, "b": 600}], ids=["", "promises"])
@pytest.mark.parametrize(
    ("shared", "most"),
    [
        pytest.param({Key(ALL_TYPES, T1): Limit(0)}, 0, id="paused"),
        pytest.param({KEY: Limit(0)}, 0, id="paused in its type"),
        pytest.param({Key(ALL_TYPES, T1): Limit(2)}, 2, id="limited"),
        pytest.param({KEY: Limit(2)}, 2, id="limited in its type"),
    ],
)
def test_what_arrives_for_a_limited_tenant_asks_for_no_more_workers_than_its_limit(shared, most, promises):
    *waiting, last, _ = sizes(shared, promises=promises)
    with_headroom = most + 2 if most else 0
    assert max(waiting) <= with_headroom
    assert last <= with_headroom + 1  # the other tenant's job


def test_an_end_beyond_all_calendars_is_no_end():
    for until in (253_402_300_800.0, 9.2e12, float("inf"), None):
        shared = shared_of([{"tenant_id": T1, "type": None, "max_concurrent": 3, "weight": None, "until": until}])
        assert in_force(tenants(), shared, [KEY], NOW).limits[T1] == TenantLimit(max_concurrent=3)


def test_an_unknown_type_of_a_paused_tenant_starts_no_worker():
    depths = {Key("a", T1): DEEP}
    assert decide(spec(tenants={"overrides": {T1: 0}}), Reading(NOW, depths), fleet(0), History(), NOW).replicas == 0


def test_a_type_is_read_with_its_lowest_limit_that_is_no_pause():
    shared = {Key(ALL_TYPES, "x"): Limit(7), Key("a", "y"): Limit(2), Key("b", "z"): Limit(0), Key("c", "z"): Limit(1)}
    assert least_limits({"a": 5}, shared, ["a", "b"]) == {"a": 2, "b": 7}
    assert least_limits({}, {Key("b", "z"): Limit(0)}, ["a", "b"]) == {"b": MOST_CONCURRENT}
    assert tenants(own=Limit(0)).least == MOST_CONCURRENT
    assert tenants(cap=4, own=Limit(0)).least == 4


def test_paused_tenants_are_known_from_both_sources():
    pools = [PoolLimits("a/x", 4, {"t1": Limit(0), "t2": Limit(1)})]
    assert paused(pools, {Key("a", "t3"): Limit(0), Key("a", "t4"): Limit(None, 3)}) == {"t1", "t3"}


def test_what_is_stored_is_what_both_fields_of_the_spec_say():
    one = Tenants.model_validate(
        {"maxConcurrent": 9, "overrides": {"t1": 0}, "limits": {"t2": {"weight": 2, "until": "2027-01-15T08:00:00Z"}}}
    )
    assert pool_limits("a/x", one) == PoolLimits("a/x", 9, {"t1": Limit(0), "t2": Limit(None, 2, 1_800_000_000.0)})


def test_rows_of_the_view_that_say_nothing_are_left_out():
    row = {"tenant_id": "t1", "type": None, "max_concurrent": None, "weight": None, "until": None}
    found = shared_of([row, {**row, "type": "a", "max_concurrent": 1, "until": float("inf")}])
    assert found == {Key("a", "t1"): Limit(1)}
