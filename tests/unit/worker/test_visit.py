"""Tenants get turns by their weights, whatever number of jobs a worker claims at once; none waits longer."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from jobtide.queue.ring import Ring
from jobtide.queue.visit import visit_after

WEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=8)
WANTED = st.lists(st.integers(1, 12), min_size=1, max_size=20)


def served(weights, wanted, claims):
    """The tenants in the order in which claims take them, as sql/claim_capped.sql chooses rows; all have jobs."""
    ring, visit, order = Ring(("a",)), None, []
    for number in range(claims):
        most, rows = wanted[number % len(wanted)], []
        lap = [
            tenant for range_ in ring.lap() for tenant in range(len(weights)) if range_.first <= tenant <= range_.last
        ]
        for turn in range(most):
            for tenant in lap:
                had = visit.rows if turn == 0 and visit is not None and visit.key == ("a", tenant) else 0
                rows += [("a", tenant)] * (weights[tenant] - had)
        rows = rows[:most]
        order += [tenant for _, tenant in rows]
        of_key = {("a", tenant): weight for tenant, weight in enumerate(weights) if weight > 1}
        visit = visit_after(rows[-1], rows.count(rows[-1]), of_key, visit)
        ring = ring.after(rows[-1]) if visit is None else ring.at_key(rows[-1])
    return order


@given(weights=WEIGHTS, wanted=WANTED)
def test_every_round_of_turns_has_as_many_of_each_tenant_as_its_weight(weights, wanted):
    order = served(weights, wanted, 60)
    size = sum(weights)
    for start in range(0, len(order) - size + 1, size):
        assert Counter(order[start : start + size]) == Counter(dict(enumerate(weights)))


@given(weights=WEIGHTS, wanted=WANTED)
def test_no_tenant_waits_longer_than_the_turns_of_all_others(weights, wanted):
    order = served(weights, wanted, 60)
    for tenant, weight in enumerate(weights):
        longest = sum(weights) - weight + 1
        for start in range(len(order) - longest):
            assert tenant in order[start : start + longest]


@given(served_rows=st.integers(1, 500))
def test_without_a_weight_a_claim_never_ends_in_the_middle_of_a_turn(served_rows):
    assert visit_after(("a", 1), served_rows, {}, None) is None
