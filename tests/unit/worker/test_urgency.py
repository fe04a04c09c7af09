"""The type that is nearest to breaking its promise is claimed first, and none starves."""

from __future__ import annotations

from collections import Counter, deque
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide.queue.urgency import PASSED_CLAIMS, PASSED_SHARE, PRESSING, Group, grouped, in_order, note

NOW = 1_000.0


def group(promise, waited=None, passed=0, passed_seconds=0.0):
    made = Group(promise, (f"{promise:g}",))
    made.oldest_at = inf if waited is None else NOW - waited
    made.passed, made.passed_since = passed, NOW - passed_seconds if passed else inf
    return made


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        pytest.param([group(600, 10), group(30, 10)], [30, 600], id="the shorter promise, of jobs that wait as long"),
        pytest.param([group(30, 1), group(600, 530)], [600, 30], id="a long promise that is nearly over"),
        pytest.param([group(600), group(30), group(60)], [30, 60, 600], id="nothing known: the shortest promise"),
        pytest.param([group(30), group(600, 1)], [600, 30], id="a known job before none"),
        pytest.param([group(30, 500, 1), group(600, 560, 3)], [600, 30], id="both beyond: in turns"),
        pytest.param([group(30, 500, 3), group(600, 560, 1)], [30, 600], id="both beyond: in turns, the other one"),
        pytest.param([group(600, 100), group(30, 500)], [30, 600], id="one beyond comes before one that is not"),
        pytest.param([group(30, 29), group(600, 1, 16, 60)], [600, 30], id="passed over in 16 claims and for a minute"),
        pytest.param([group(30, 29), group(600, None, 16, 60)], [600, 30], id="passed over, and not known"),
        pytest.param(
            [group(30, 29), group(600, 1, 99, 59)], [30, 600], id="passed over in many claims, for less than a minute"
        ),
        pytest.param([group(30, 29), group(600, 1, 15, 900)], [30, 600], id="passed over in few claims"),
    ],
)
def test_the_group_nearest_to_breaking_its_promise_comes_first(groups, expected):
    assert [one.promise_seconds for one in in_order(groups, NOW)] == expected


@pytest.mark.parametrize(
    ("promises", "expected"),
    [
        pytest.param({"b": 600.0}, {60.0: ("a", "c"), 600.0: ("b",)}, id="the default for the others"),
        pytest.param({"a": 60.0, "b": 60.0, "c": 60.0}, {60.0: ("a", "b", "c")}, id="equal promises are one group"),
        pytest.param({"a": 9.0, "c": 3.0, "b": 9.0}, {3.0: ("c",), 9.0: ("a", "b")}, id="the shortest first"),
        pytest.param({"elsewhere": 9.0}, {60.0: ("a", "b", "c")}, id="a type of another pool"),
    ],
)
def test_types_with_the_same_promise_share_a_ring(promises, expected):
    assert grouped(("a", "b", "c"), promises) == expected


WAITS = st.one_of(st.none(), st.floats(0, 1e6))
PROMISES = st.lists(st.floats(1, 86_400), min_size=1, max_size=6, unique=True)


@given(PROMISES, st.data())
def test_every_group_is_tried_once_in_a_claim(promises, data):
    groups = [
        group(one, data.draw(WAITS), data.draw(st.integers(0, 99)), data.draw(st.floats(0, 1e5))) for one in promises
    ]
    order = in_order(groups, NOW)
    assert Counter(one.promise_seconds for one in order) == Counter(promises)


def first(groups, now):
    """The group that a claim of one job takes, if each has due jobs."""
    order = in_order(groups, now)
    note(order, 1, now)
    return order[0]


@given(PROMISES, st.data())
def test_no_group_starves_whatever_the_others_have(promises, data):
    """Each is first once in 16 claims for each group, if those last a tenth of its promise."""
    groups = [group(one) for one in promises]
    claims = (PASSED_CLAIMS + 1) * (len(groups) + 1)
    seconds = PASSED_SHARE * max(promises)  # between two claims
    found = set()
    for number in range(claims):
        now = NOW + number * seconds
        for one in groups:
            one.oldest_at = now - data.draw(st.sampled_from([0.0, 5.0, 1e6])) if number % 7 == 0 else one.oldest_at
        found.add(first(groups, now).promise_seconds)
    assert found == set(promises)


@given(st.floats(1, 600), st.floats(1, 6_000), st.integers(1, 200), st.integers(1, 200))
def test_with_two_types_permanently_backlogged_each_gets_a_share(short, longer, old_short, old_long):
    """One job a claim, one claim a second, and more arrives than is served."""
    groups = [Group(short, ("a",)), Group(short + longer, ("b",))]
    waiting = {"a": deque(range(-old_short, 0)), "b": deque(range(-old_long, 0))}
    seconds = int(4 * PASSED_SHARE * (short + longer)) + 200
    served = Counter()
    for second in range(seconds):
        for queue in waiting.values():
            queue.append(second)
        for one in groups:
            one.oldest_at = float(waiting[one.types[0]][0])
        (name,) = first(groups, float(second)).types
        waiting[name].popleft()
        served[name] += 1
    assert min(served["a"], served["b"]) >= 3


@given(st.floats(1, 100), st.floats(1, 1_000), st.integers(1, 500))
def test_a_flood_of_one_type_does_not_break_the_promise_of_another(short, longer, other_at):
    """A flood has waited for days; the job of the other type starts within its own promise."""
    flood, other = Group(short, ("flood",)), Group(short + longer, ("other",))
    flood.oldest_at = -1e6
    other.oldest_at = float(other_at)
    second = next(at for at in range(other_at, other_at + 2_000) if first([flood, other], float(at)) is other)
    assert second - other_at <= PRESSING * (short + longer) + 2


@given(st.floats(1, 600), st.floats(1, 600), st.integers(2, 50))
def test_groups_beyond_their_promises_share_the_claims_evenly(short, longer, rounds):
    groups = [Group(short, ("a",)), Group(short + longer, ("b",)), Group(short + 2 * longer, ("c",))]
    for one in groups:
        one.oldest_at = -1e6
    served = Counter(first(groups, NOW + number).types for number in range(3 * rounds))
    assert set(served.values()) == {rounds}
