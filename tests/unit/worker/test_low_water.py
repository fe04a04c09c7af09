"""Marks skip claimed rows, and never hide a row for longer than a few seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide.queue.low_water import LowWater
from jobtide.queue.ring import Mark, Range, Ring

LAST = (1 << 128) - 1
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def claim(marks: LowWater, tenant: int, rows: int, due_at: datetime = NOON) -> None:
    for number in range(100, rows + 1, 100):
        marks.claimed(("a", tenant), 100, Mark(due_at, UUID(int=number)))
    marks.claimed(("a", tenant), rows % 100, Mark(due_at, UUID(int=rows)))


def marked(*tenants: int, rows: int = 1_000) -> LowWater:
    """After a first full lap at time 100, with these tenants of type a claimed up to noon."""
    marks = LowWater()
    for tenant in tenants:
        claim(marks, tenant, rows)
    marks.narrowed(Ring(("a",)).lap(), keys=64, now=100)
    return marks


def test_a_marked_tenant_starts_at_its_mark():
    lap = marked(4).narrowed((Range("a", 0, 9),), keys=64, now=101)
    assert lap == (Range("a", 0, 3), Range("a", 4, 9, since=Mark(NOON, UUID(int=1_000))))


def test_other_types_are_left_alone():
    assert marked(4).narrowed((Range("b", 0, 9),), keys=64, now=101) == (Range("b", 0, 9),)


def test_a_tenant_with_few_claims_gets_no_mark():
    lap = Ring(("a",)).lap()
    assert marked(4, rows=10).narrowed(lap, keys=64, now=101) is lap


def test_a_whole_lap_comes_every_few_seconds():
    marks, lap = marked(4), Ring(("a",)).lap()
    assert marks.narrowed(lap, keys=64, now=104.9) is not lap
    assert marks.narrowed(lap, keys=64, now=105) is lap
    assert marks.narrowed(lap, keys=64, now=105.1) is not lap


def test_a_mark_never_goes_back():
    marks = marked(4)
    claim(marks, 4, 5_000, NOON - timedelta(hours=1))
    assert marks.narrowed((Range("a", 4, 4),), keys=64, now=101)[0].since == Mark(NOON, UUID(int=1_000))


def test_marks_are_few_and_those_of_the_busiest_stay():
    marks = LowWater()
    for tenant in range(4_096, 0, -1):
        marks.claimed(("a", tenant), 500 + tenant, Mark(NOON, UUID(int=tenant)))
    marks.narrowed(Ring(("a",)).lap(), keys=60, now=100)
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
