"""Which ended jobs may go, in which order, and how slowly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.api.spec import Retention
from jobtide_controller.decide.retention import (
    FEWEST_ROWS,
    FIRST_ROWS,
    LONGEST_PASS_SECONDS,
    MOST_ROWS,
    PASS_SECONDS,
    Deleted,
    PassReport,
    Policy,
    advanced,
    begun,
    held_up,
    next_batch,
    policy_of,
    rest_seconds,
    retained,
    seconds_to_next,
)

DAY = 86_400
BOTH = Policy({"a": DAY}, {"a": 2 * DAY})


def keep(completed=None, failed=None):
    return Retention(completed_seconds=completed, failed_seconds=failed)


def done(until=None, found=0, rows=None, oldest_left=None, seconds=0.05):
    return Deleted(until, found, rows or {}, oldest_left or {}, seconds)


@pytest.mark.parametrize(
    ("pools", "policy"),
    [
        pytest.param([], Policy(), id="no pool"),
        pytest.param([(["a"], keep())], Policy(), id="off by default"),
        pytest.param([(["a", "b"], keep(DAY))], Policy({"a": DAY, "b": DAY}), id="failed jobs stay unless said"),
        pytest.param([(["a"], keep(DAY, 2 * DAY))], BOTH, id="both"),
        pytest.param([(["a"], keep(DAY)), (["a"], keep(3 * DAY))], Policy({"a": 3 * DAY}), id="the longer time counts"),
        pytest.param([(["a"], keep(DAY)), (["a", "b"], keep())], Policy(), id="a pool without one keeps the jobs"),
        pytest.param([(["a"], keep(DAY)), (["b"], keep())], Policy({"a": DAY}), id="of its own types only"),
        pytest.param([(["a"], keep(DAY)), (None, keep())], Policy(is_unknown=True), id="a refused pool may keep any"),
    ],
)
def test_a_job_is_deleted_only_when_every_pool_of_its_type_lets_it_go(pools, policy):
    assert policy_of(pools) == policy
    assert policy_of(reversed(pools)) == policy


def test_a_pass_walks_completed_rows_and_then_failed_ones_to_their_end():
    walk = begun(BOTH)
    batch = next_batch(walk)
    assert (batch.status, batch.seconds, batch.after, batch.rows) == ("completed", {"a": DAY}, None, FIRST_ROWS)
    walk = advanced(walk, batch, done(until=100.0, found=3, rows={"a": 3}))
    batch = next_batch(walk)
    assert (batch.status, batch.after) == ("completed", 100.0)
    walk = advanced(walk, batch, done(rows={"a": 1}))
    batch = next_batch(walk)
    assert (batch.status, batch.seconds, batch.after) == ("failed", {"a": 2 * DAY}, None)
    walk = advanced(walk, batch, done(rows={"a": 2}, oldest_left={"a": 50.0}))
    assert next_batch(walk) is None
    assert (walk.deleted, walk.oldest_left) == ({"a": 6}, {"a": 50.0})


def test_a_status_without_a_retention_is_not_walked():
    assert next_batch(begun(Policy(failed={"a": DAY}))).status == "failed"
    assert next_batch(begun(Policy())) is None


def test_a_batch_that_deleted_as_many_as_it_may_is_repeated_at_the_same_place():
    walk = begun(BOTH)
    batch = next_batch(walk)
    some = done(until=100.0, found=batch.most, rows={"a": 1})
    assert next_batch(advanced(walk, batch, some)).after is None


def test_rows_that_the_server_keeps_without_an_error_do_not_hold_up_the_pass():
    """A trigger of the user's returns NULL, or a restrictive policy hides them from the DELETE."""
    walk = begun(BOTH)
    batch = next_batch(walk)
    assert next_batch(advanced(walk, batch, done(until=100.0, found=batch.most))).after == 100.0
    assert next_batch(advanced(walk, batch, done(found=batch.most))).status == "failed"


def test_a_place_that_does_not_move_ends_the_walk_of_its_status():
    walk = advanced(begun(BOTH), next_batch(begun(BOTH)), done(until=100.0))
    assert next_batch(advanced(walk, next_batch(walk), done(until=100.0))).status == "failed"


def test_batches_become_smaller_while_they_are_slow_and_larger_while_they_are_fast():
    walk = begun(BOTH)
    for _ in range(20):
        walk = advanced(walk, next_batch(walk), done(until=(walk.after or 0) + 1, seconds=1.0))
    assert next_batch(walk).rows == FEWEST_ROWS
    for _ in range(20):
        walk = advanced(walk, next_batch(walk), done(until=walk.after + 1, seconds=0.001))
    assert next_batch(walk).rows == MOST_ROWS


def test_locked_rows_are_tried_in_smaller_batches_and_then_passed():
    walk = begun(BOTH)
    for _ in range(20):
        walk = held_up(walk, 0.05)
    batch = next_batch(walk)
    assert (batch.rows, batch.most) == (FEWEST_ROWS, 0)
    walk = advanced(walk, batch, done(until=100.0))
    batch = next_batch(walk)
    assert (batch.after, batch.most) == (100.0, 2 * batch.rows)


@given(st.lists(st.floats(0.0001, 5), min_size=1))
def test_all_batches_with_their_rests_take_three_per_cent_of_a_core(costs):
    assert sum(costs) / (sum(costs) + sum(map(rest_seconds, costs))) == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("cost", "seconds"), [(0.01, PASS_SECONDS), (1.0, 1_000.0), (60.0, LONGEST_PASS_SECONDS)], ids=str
)
def test_a_pass_over_many_rows_comes_less_often(cost, seconds):
    walk = advanced(begun(BOTH), next_batch(begun(BOTH)), done(seconds=cost))
    assert seconds_to_next(walk) == seconds


def test_a_pool_shows_the_part_of_a_pass_that_has_its_types():
    report = PassReport(7.0, {"a": 3, "b": 5}, {"a": 50.0, "b": 40.0, "c": 1.0}, "the server refuses it")
    policy = Policy({"a": DAY, "b": 9 * DAY})
    shown = retained(report, policy, ["a", "b"], keep(DAY))
    assert (shown.at, shown.deleted, shown.oldest_left) == (7.0, 8, 40.0)
    assert shown.message == (
        "the server refuses it; b: another pool of the database handles it too, and keeps its jobs longer"
    )
    assert retained(report, policy, ["a"], keep(DAY)).message == "the server refuses it"
    assert retained(PassReport(7.0, {}, {}), policy, ["z"], keep(DAY)).message.startswith("z: another pool")


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["goes", "too young", "kept in silence", "locked"])), max_size=120
    ),
    st.integers(1, 40),
    st.sampled_from([0.001, 0.05, 10.0]),
)
def test_every_pass_comes_to_its_end_and_deletes_all_that_it_can(rows, first_rows, seconds):
    """With a model of the statement: rows that were created at one moment are looked at together."""
    left = sorted(rows)
    walk, statements = replace(begun(Policy({"a": DAY})), rows=first_rows), 0
    while (batch := next_batch(walk)) is not None:
        statements += 1
        assert statements < 1_000
        places = [place for place, row in enumerate(left) if batch.after is None or left[place][0] > batch.after]
        until = left[places[batch.rows - 1]][0] if len(places) >= batch.rows else None
        found = [
            place for place in places if (until is None or left[place][0] <= until) and left[place][1] != "too young"
        ]
        found = found[: batch.most]
        if any(left[place][1] == "locked" for place in found):
            walk = held_up(walk, seconds)
            continue
        gone = [place for place in found if left[place][1] == "goes"]
        left = [row for place, row in enumerate(left) if place not in gone]
        walk = advanced(walk, batch, done(until, len(found), {"a": len(gone)} if gone else {}, seconds=seconds))
    hindered = {at for at, what in rows if what in {"locked", "kept in silence"}}
    if not hindered:
        assert [row for row in left if row[1] == "goes"] == []
    assert sorted(row for row in rows if row[1] != "goes") == [row for row in left if row[1] != "goes"]
