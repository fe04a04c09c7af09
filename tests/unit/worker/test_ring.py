"""The ring visits every key once a lap, from just behind the one that was served last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide.queue.ring import Lap, Range, Ring, rows_per_key

LAST = (1 << 128) - 1
TYPES = ("a", "b", "c")


def holds(lap: Lap, type_: str, tenant: int) -> int:
    """The number of ranges of the lap that contain this key."""
    return sum(range_.type == type_ and range_.first <= tenant <= range_.last for range_ in lap)


@given(at=st.integers(0, 2), cursor=st.integers(0, LAST), type_=st.sampled_from(TYPES), tenant=st.integers(0, LAST))
def test_a_lap_visits_every_key_exactly_once(at, cursor, type_, tenant):
    assert holds(Ring(TYPES, at, cursor).lap(), type_, tenant) == 1


@given(at=st.integers(0, 2), tenant=st.integers(0, LAST))
def test_the_key_that_was_served_comes_last_in_the_next_lap(at, tenant):
    lap = Ring(TYPES).after((TYPES[at], tenant)).lap()
    assert (lap[-1].type, lap[-1].last) == (TYPES[at], tenant)


def test_a_ring_at_its_start_is_one_range_per_type():
    assert Ring(TYPES).lap() == tuple(Range(name, 0, LAST) for name in TYPES)


@pytest.mark.parametrize(
    ("wanted", "served", "expected"),
    [
        pytest.param(50, 25, 2, id="shared evenly"),
        pytest.param(50, 1, 50, id="one tenant alone gets the batch"),
        pytest.param(50, 1000, 1, id="more tenants than places: one each"),
        pytest.param(50, 33, 2, id="rounded up, so that the batch is filled"),
        pytest.param(1, 0, 1, id="nothing served"),
    ],
)
def test_a_batch_is_shared_by_the_keys_that_were_served(wanted, served, expected):
    assert rows_per_key(wanted, served) == expected
