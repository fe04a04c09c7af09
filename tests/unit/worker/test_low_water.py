"""Marks skip claimed rows, and never hide a row for longer than a few seconds."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide.queue.low_water import LowWater
from jobtide.queue.ring import Mark, Range, Ring

LAST = (1 << 128) - 1
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
WHOLE = (Range("a", 0, LAST),)


def claim(marks: LowWater, tenant: int, rows: int, due_at: datetime = NOON) -> None:
    for number in range(100, rows + 1, 100):
        marks.claimed(("a", tenant), 100, Mark(due_at, UUID(int=number)))
    marks.claimed(("a", tenant), rows % 100, Mark(due_at, UUID(int=rows)))


def marked(*tenants: int, rows: int = 1_000) -> LowWater:
    """After a lap at time 100, with these tenants of type a claimed up to noon."""
    marks = LowWater()
    marks.narrowed(Ring(("a",)).lap(), keys=64, now=100)
    for tenant in tenants:
        claim(marks, tenant, rows)
    return marks


def marks_of(marks: LowWater, *, now: float) -> list[int]:
    return [range_.first for range_ in marks.narrowed(WHOLE, keys=64, now=now) if range_.since]


def test_a_marked_tenant_starts_at_its_mark():
    lap = marked(4).narrowed((Range("a", 0, 9),), keys=64, now=101)
    assert lap == (Range("a", 0, 3), Range("a", 4, 9, since=Mark(NOON, UUID(int=1_000))))


def test_other_types_are_left_alone():
    assert marked(4).narrowed((Range("b", 0, 9),), keys=64, now=101) == (Range("b", 0, 9),)


def test_a_tenant_with_few_claims_gets_no_mark():
    lap = Ring(("a",)).lap()
    assert marked(4, rows=10).narrowed(lap, keys=64, now=101) is lap


def test_a_mark_is_left_out_once_it_is_old_until_a_claim_has_come_to_its_tenant():
    marks = marked(4, 7)
    assert marks_of(marks, now=104.9) == [4, 7]
    assert marks_of(marks, now=105) == []
    marks.claimed(("a", 4), 1, Mark(NOON, UUID(int=1_001)))
    assert marks_of(marks, now=105.1) == [4]
    assert marks_of(marks, now=110.2) == []


def test_claims_without_old_marks_take_a_twentieth_of_the_time():
    marks = marked(4)
    assert marks_of(marks, now=106) == []
    marks.walked(0.05, now=106)
    assert marks_of(marks, now=106.9) == [4]
    assert marks_of(marks, now=107.1) == []


def test_while_every_claim_is_full_each_of_many_tenants_is_walked_from_its_first_row_before_long():
    """200 tenants with a backlog, eight of them a claim: a claim takes 4 ms, or 20 ms with a mark left out."""
    marks, now, turn = marked(*range(200)), 200.0, 0
    walked = {}
    while now < 260:
        lap = Ring(("a",), tenant=turn % 200).lap()
        left_out = {*range(200)} - {range_.first for range_ in marks.narrowed(lap, 8, now) if range_.since}
        reached = [(turn + place) % 200 for place in range(8)]
        for tenant in reached:
            marks.claimed(("a", tenant), 1, Mark(NOON, UUID(int=1_001)))
        is_old = marks._leaves_out
        walked |= {tenant: now for tenant in reached if is_old and tenant in left_out}
        seconds = 0.02 if is_old else 0.004
        now, turn = now + seconds, turn + 8
        marks.walked(seconds, now)
    assert len(walked) == 200
    assert min(walked.values()) > 230


def searched(marks: LowWater, *, seconds: float, rounds: int, now: float = 200) -> list[list[int]]:
    """The tenants of each search of claims that come short, of which each takes `seconds`."""
    found = []
    for _ in range(rounds):
        marks.narrowed(WHOLE, keys=1, now=now)
        found.append([range_.first for range_ in marks.search(WHOLE, now)])
        marks.searched(seconds, now)
        now += 1_000
    return found


def test_claims_that_come_short_start_at_all_marks_and_never_walk_a_whole_lap():
    marks = marked(*range(100))
    marks.narrowed(WHOLE, keys=1, now=200)
    marks.search(WHOLE, now=200)
    lap = marks.narrowed(WHOLE, keys=1, now=200.5)
    assert [range_.first for range_ in lap if range_.since] == list(range(100))


def test_a_claim_that_comes_short_long_after_the_last_one_leaves_old_marks_out():
    marks = marked(4, 7)
    marks.search(WHOLE, now=200)  # of tenant 4
    assert marks_of(marks, now=202) == [4]


def whole_laps(marks: LowWater, *, every: float, seconds: float) -> list[float]:
    """Within 150 s in which a claim comes short each `every` seconds, and a search of a tenant takes `seconds`."""
    found, now = [], 200.0
    while now < 350:
        if marks.narrowed(WHOLE, keys=1, now=now) is WHOLE:
            found.append(now)
        elif part := marks.search(WHOLE, now):
            marks.searched(seconds * len(part), now)
        now += every
    return found


def test_where_few_claims_come_short_a_whole_lap_comes_before_the_searches_have_gone_round():
    laps = whole_laps(marked(*range(200)), every=0.9, seconds=0.005)
    assert len(laps) == 3  # of a second each, and so a fortieth of the time
    assert max(later - earlier for earlier, later in pairwise(laps)) < 45


def test_where_claims_come_short_often_enough_for_the_searches_no_whole_lap_comes():
    assert len(whole_laps(marked(*range(200)), every=0.1, seconds=0.005)) <= 2


def test_where_tenants_cost_little_to_visit_a_lap_has_few_marks():
    marks = marked(*range(100))
    searched(marks, seconds=1e-5, rounds=7)
    lap = marks.narrowed(WHOLE, keys=1, now=200.5)
    assert len([range_ for range_ in lap if range_.since]) == 2


def test_one_tenant_that_costs_much_to_visit_keeps_its_mark_among_many_that_cost_little():
    marks = marked(*range(100))
    claim(marks, 31, 100_000)
    for now in (200, 200.5, 201, 201.5, 202, 202.5, 203):
        marks.narrowed(WHOLE, keys=1, now=now)
        part = marks.search(WHOLE, now)
        marks.searched(0.004 if any(range_.first == 31 for range_ in part) else 1e-5, now)
    assert 31 in marks_of(marks, now=203.5)


def test_claims_that_come_short_start_at_the_marks_of_the_busiest_if_there_are_too_many():
    marks = marked(*range(600))
    claim(marks, 599, 100_000)
    marks.narrowed(WHOLE, keys=1, now=200)
    marks.search(WHOLE, now=200)
    lap = marks.narrowed(WHOLE, keys=1, now=200.5)
    assert len({range_.first for range_ in lap if range_.since}) == 512
    assert lap[-1].first == 599


def test_searches_go_round_the_marked_tenants_from_their_first_row_on():
    assert searched(marked(3, 5, 8), seconds=1.0, rounds=4) == [[3], [5], [8], [3]]
    assert all(range_.since is None for range_ in marked(3).search(WHOLE, now=200))


def test_a_search_has_more_tenants_if_the_last_was_short_and_fewer_if_it_was_long():
    assert [len(part) for part in searched(marked(*range(20)), seconds=0.001, rounds=5)] == [1, 2, 4, 8, 5]
    marks = marked(*range(64))
    searched(marks, seconds=0.001, rounds=4)
    assert [len(part) for part in searched(marks, seconds=0.006, rounds=3, now=9_000)] == [16, 8, 4]


def test_searches_take_a_twentieth_of_the_time():
    marks = marked(3, 5)
    assert marks.search(WHOLE, now=200)
    marks.searched(0.1, now=200.1)
    assert not marks.search(WHOLE, now=202.0)
    assert marks.search(WHOLE, now=202.2)


def test_a_search_that_stood_still_with_its_server_does_not_put_off_the_next_one_for_minutes():
    marks = marked(3, 5)
    marks.narrowed(WHOLE, keys=1, now=200)
    assert marks.search(WHOLE, now=200)
    marks.searched(45.0, now=245)
    assert marks.next_search_seconds(245) == 10
    assert marks.search(WHOLE, now=255)


def test_a_worker_looks_again_until_each_marked_tenant_was_searched():
    marks = marked(3, 5)
    waits = []
    for now in (200.0, 201.0, 204.0):
        marks.narrowed(WHOLE, keys=1, now=now)
        if marks.search(WHOLE, now):
            marks.searched(0.1, now)
        waits.append(round(marks.next_search_seconds(now), 3))
    assert waits == [2.0, 1.0, math.inf]


def test_a_worker_without_marks_has_nothing_to_search():
    marks = LowWater()
    marks.narrowed(WHOLE, keys=1, now=200)
    assert marks.next_search_seconds(200) == math.inf


def test_a_key_outside_the_lap_is_not_searched():
    marks = marked(3, 5)
    assert [marks.search((Range("a", 4, 9),), now)[:1] for now in (200, 201)] == [(), (Range("a", 5, 5),)]


@given(tenants=st.sets(st.integers(0, 300), min_size=1, max_size=60), seconds=st.lists(st.floats(0, 0.1), min_size=60))
def test_one_round_of_searches_visits_each_marked_tenant_once(tenants, seconds):
    marks, now, visited = marked(*tenants), 200.0, []
    for one in seconds:
        marks.narrowed(WHOLE, keys=1, now=now)
        visited += [range_.first for range_ in marks.search(WHOLE, now)]
        marks.searched(one, now)
        now += 10
        if marks.next_search_seconds(now) == math.inf:
            break
    assert sorted(visited) == sorted(tenants)


def test_a_mark_never_goes_back():
    marks = marked(4)
    claim(marks, 4, 5_000, NOON - timedelta(hours=1))
    assert marks.narrowed((Range("a", 4, 4),), keys=64, now=101)[0].since == Mark(NOON, UUID(int=1_000))


def test_marks_are_few_and_those_of_the_busiest_stay():
    marks = LowWater()
    marks.narrowed(Ring(("a",)).lap(), keys=60, now=100)
    for tenant in range(4_096, 0, -1):
        marks.claimed(("a", tenant), 500 + tenant, Mark(NOON, UUID(int=tenant)))
    lap = marks.narrowed((Range("a", 0, LAST),), keys=60, now=101)
    assert [range_.first for range_ in lap if range_.since] == list(range(2_049, 2_049 + 64))


def test_a_mark_lasts_when_the_idlest_are_forgotten():
    marks = marked(7)
    for tenant in range(10_000, 10_000 + 4_096):
        claim(marks, tenant, 10)
    assert marks.narrowed((Range("a", 7, 7),), keys=64, now=101)[0].since == Mark(NOON, UUID(int=1_000))


@pytest.mark.parametrize(("keys", "marks"), [(1, 2), (2, 4), (4, 8), (6, 10)])
def test_a_lap_has_no_more_marks_than_a_claim_can_reach(keys, marks):
    lap = marked(*range(20, 60)).narrowed((Range("a", 30, LAST), Range("a", 0, 29)), keys=keys, now=101)
    assert [range_.first for range_ in lap if range_.since] == list(range(30, 30 + marks))
    assert lap[-2:] == (Range("a", 29 + marks, LAST, since=Mark(NOON, UUID(int=1_000))), Range("a", 0, 29))


@given(first=st.integers(0, 20), length=st.integers(0, 20), tenants=st.sets(st.integers(0, 40), max_size=10))
def test_narrowing_keeps_every_tenant_exactly_once_and_in_order(first, length, tenants):
    lap = marked(*tenants).narrowed((Range("a", first, first + length),), keys=64, now=101)
    visited = [tenant for range_ in lap for tenant in range(range_.first, range_.last + 1)]
    assert visited == list(range(first, first + length + 1))
    assert {range_.first for range_ in lap if range_.since} == {t for t in tenants if first <= t <= first + length}
