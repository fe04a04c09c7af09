"""Tests how pools share a database's connections: by worked examples, and by properties of all requests."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.decide.connection_shares import ConnectionRequest, connection_request, divide
from jobtide_controller.decide.fleet import Fleet, Pod
from jobtide_controller.decide.reading import Reading, Unreadable, UnreadableReason
from tests.unit.decide.builders import NOW, fleet, spec

EMPTY = Reading(NOW, {})


@pytest.mark.parametrize(
    ("budget", "requests", "workers"),
    [
        pytest.param(
            100, {"a": ConnectionRequest(8), "b": ConnectionRequest(3)}, {"a": 8, "b": 3}, id="enough for all"
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(8), "b": ConnectionRequest(3)},
            {"a": 7, "b": 3},
            id="a pool that needs little gets all of it",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(8, current=7), "b": ConnectionRequest(3, current=3), "c": ConnectionRequest(5)},
            {"a": 4, "b": 3, "c": 0},
            id="c needs some too",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(8, current=6), "b": ConnectionRequest(3, current=3), "c": ConnectionRequest(5)},
            {"a": 4, "b": 3, "c": 1},
            id="one worker has ended",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(8, current=7, busy=0), "b": ConnectionRequest(5)},
            {"a": 5, "b": 3},
            id="three are free",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(9, current=10), "b": ConnectionRequest(5)},
            {"a": 5, "b": 0},
            id="none is free yet",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(5, current=5, leaving=4), "b": ConnectionRequest(5)},
            {"a": 3, "b": 1},
            id="terminating workers still hold theirs",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(9, current=10, busy=8), "b": ConnectionRequest(5)},
            {"a": 8, "b": 0},
            id="busy ones are not removed",
        ),
        pytest.param(
            8,
            {"a": ConnectionRequest(9, current=9, busy=9), "b": ConnectionRequest(5, current=1)},
            {"a": 9, "b": 0},
            id="busy ones exceed the budget",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(9, least=8), "b": ConnectionRequest(9)},
            {"a": 5, "b": 5},
            id="minReplicas and jobs take turns",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(9, least=3), "b": ConnectionRequest(9)},
            {"a": 5, "b": 5},
            id="minReplicas within its half is there",
        ),
        pytest.param(
            40,
            {"idle": ConnectionRequest(10_000, least=10_000), "due": ConnectionRequest(20)},
            {"idle": 10, "due": 10},
            id="a minReplicas beyond all bounds leaves half to jobs",
        ),
        pytest.param(
            40,
            {"idle": ConnectionRequest(10_000, least=10_000), "due": ConnectionRequest(20, busy=10, current=10)},
            {"idle": 10, "due": 10},
            id="and so it stays while they run",
        ),
        pytest.param(
            40,
            {"idle": ConnectionRequest(10_000, least=10_000, current=20), "due": ConnectionRequest(20)},
            {"idle": 10, "due": 0},
            id="idle workers end when jobs need their connections",
        ),
        pytest.param(
            40,
            {
                **{f"idle-{number:02}": ConnectionRequest(9, least=9) for number in range(30)},
                "due": ConnectionRequest(20),
            },
            {
                **{f"idle-{number:02}": 1 if number < 10 else 0 for number in range(30)},
                "due": 10,
            },
            id="many pools with a minReplicas take no more",
        ),
        pytest.param(
            40,
            {"idle": ConnectionRequest(10_000, least=10_000), "due": ConnectionRequest(4)},
            {"idle": 16, "due": 4},
            id="what jobs do not need is for minReplicas",
        ),
        pytest.param(
            40,
            {
                **{f"idle-{number:02}": ConnectionRequest(10_000, least=10_000) for number in range(19)},
                "due": ConnectionRequest(20, least=5, needed=5),
            },
            {**{f"idle-{number:02}": 1 if number < 10 else 0 for number in range(19)}, "due": 10},
            id="jobs of a pool with a minReplicas wait for no other minReplicas",
        ),
        pytest.param(
            40,
            {
                **{f"busy-{number:02}": ConnectionRequest(20) for number in range(30)},
                "kept": ConnectionRequest(3, least=3, needed=3),
            },
            {**{f"busy-{number:02}": 1 if number < 17 else 0 for number in range(30)}, "kept": 3},
            id="nor does a minReplicas that jobs need wait for other jobs",
        ),
        pytest.param(
            8,
            {"a": ConnectionRequest(3, least=3), "b": ConnectionRequest(3, least=3)},
            {"a": 2, "b": 2},
            id="not enough for the minimums",
        ),
        pytest.param(
            6,
            {"a": ConnectionRequest(2, connections=3), "b": ConnectionRequest(2, connections=3)},
            {"a": 1, "b": 1},
            id="listeners",
        ),
        pytest.param(
            7,
            {"a": ConnectionRequest(9, connections=3), "b": ConnectionRequest(9)},
            {"a": 1, "b": 1},
            id="smaller workers do not overtake",
        ),
        pytest.param(6, {"a": ConnectionRequest(9), "b": ConnectionRequest(9)}, {"a": 2, "b": 1}, id="tie: by name"),
        pytest.param(
            6,
            {"a": ConnectionRequest(9, current=1), "b": ConnectionRequest(9, current=2)},
            {"a": 1, "b": 2},
            id="tie: the pool that has it keeps it",
        ),
        pytest.param(1, {"a": ConnectionRequest(9)}, {"a": 0}, id="less than one worker needs"),
        pytest.param(10, {}, {}, id="no pool"),
    ],
)
def test_workers_of_each_pool(budget, requests, workers):
    assert divide(budget, requests) == workers


@pytest.mark.parametrize(
    ("pods", "replicas", "expected"),
    [
        pytest.param([Pod("1", "1", NOW, ready=True)], 3, (3, 0), id="requested and not created yet"),
        pytest.param([Pod("1", "1", NOW), Pod("2", "2", NOW)], 1, (2, 0), id="not stopped yet"),
        pytest.param([Pod("1", "1", NOW, terminating=True)], 1, (1, 1), id="draining"),
        pytest.param([Pod("1", "1", NOW, finished=True)], 0, (0, 0), id="ended"),
        pytest.param([], None, (0, 0), id="no Deployment yet"),
    ],
)
def test_requested_running_and_terminating_workers_hold_connections(pods, replicas, expected):
    request = connection_request(spec(), EMPTY, Fleet(current_replicas=replicas, pods=tuple(pods)), 5)
    assert (request.current, request.leaving) == expected


@pytest.mark.parametrize(
    ("fields", "desired", "least"),
    [
        pytest.param({"minReplicas": 3}, 5, 3, id="minimum"),
        pytest.param({"replicas": 8, "maxReplicas": 8}, 8, 8, id="pin"),
        pytest.param({"minReplicas": 3, "paused": True}, 0, 0, id="paused"),
    ],
)
def test_minimum_or_pin_of_the_user_is_the_least(fields, desired, least):
    assert connection_request(spec(**fields), EMPTY, fleet(0), desired).least == least


def test_jobs_need_a_part_of_the_least_or_all_of_it():
    policy = spec(minReplicas=3)
    needs = [connection_request(policy, EMPTY, fleet(0), 5, needed=needed).needed for needed in (0, 2, 9)]
    assert needs == [0, 2, 3]


def test_without_a_reading_every_worker_counts_as_busy():
    unreadable = Unreadable(UnreadableReason.UNREACHABLE, "connection refused", NOW)
    assert connection_request(spec(), unreadable, fleet(4), 4).busy == 4
    assert connection_request(spec(), EMPTY, fleet(4, busy=1), 4).busy == 1


@st.composite
def any_request(draw: st.DrawFn) -> ConnectionRequest:
    desired, current = draw(st.integers(0, 30)), draw(st.integers(0, 30))
    least = draw(st.integers(0, desired))
    return ConnectionRequest(
        desired=desired,
        least=least,
        needed=draw(st.integers(0, least)),
        busy=draw(st.integers(0, current)),
        current=current,
        leaving=draw(st.integers(0, 5)),
        connections=draw(st.sampled_from([2, 3])),
    )


any_requests = st.dictionaries(st.sampled_from("abcdef"), any_request(), max_size=6)
budgets = st.integers(0, 150)


def connections_of(requests, workers):
    return sum(one.connections * (workers[uid] + one.leaving) for uid, one in requests.items())


@given(budgets, any_requests)
def test_budget_is_only_exceeded_by_busy_and_terminating_workers(budget, requests):
    not_removable = connections_of(requests, {uid: one.busy for uid, one in requests.items()})
    assert connections_of(requests, divide(budget, requests)) <= max(budget, not_removable)


@given(budgets, any_requests)
def test_no_worker_starts_before_its_connections_are_free(budget, requests):
    workers = divide(budget, requests)
    starting = sum(one.connections * max(0, workers[uid] - one.current) for uid, one in requests.items())
    assert starting <= max(0, budget - sum(one.held for one in requests.values()))


@given(budgets, any_requests)
def test_each_pool_gets_at_least_its_busy_workers_and_no_more_than_it_needs(budget, requests):
    for uid, workers in divide(budget, requests).items():
        assert requests[uid].busy <= workers <= max(requests[uid].desired, requests[uid].busy)


@given(budgets, any_requests)
def test_the_order_of_pools_changes_nothing(budget, requests):
    assert divide(budget, requests) == divide(budget, dict(reversed(requests.items())))


@given(budgets, any_requests, st.integers(1, 20))
def test_no_pool_loses_workers_by_a_larger_budget(budget, requests, more):
    smaller, larger = divide(budget, requests), divide(budget + more, requests)
    assert all(larger[uid] >= workers for uid, workers in smaller.items())


@given(budgets, any_requests, st.sampled_from("abcdef"), st.integers(1, 10))
def test_pool_that_needs_more_never_gets_less(budget, requests, uid, more):
    requests = {uid: ConnectionRequest(1), **requests}
    larger = {**requests, uid: replace(requests[uid], desired=requests[uid].desired + more)}
    assert divide(budget, larger)[uid] >= divide(budget, requests)[uid]


def after_all_changes(budget, requests):
    """Requests and shares once all surplus workers have ended and all permitted ones have started."""
    requests = {uid: replace(one, leaving=0) for uid, one in requests.items()}
    for _ in range(10):
        requests = {uid: replace(requests[uid], current=workers) for uid, workers in divide(budget, requests).items()}
    return requests, divide(budget, requests)


@given(budgets, any_requests)
def test_shares_become_constant(budget, requests):
    requests, workers = after_all_changes(budget, requests)
    assert workers == {uid: one.current for uid, one in requests.items()}


@given(any_requests)
def test_every_pool_has_its_least_if_half_of_the_budget_allows_it(requests):
    requests = {uid: replace(one, busy=0, needed=0, least=min(one.desired, 1)) for uid, one in requests.items()}
    _, workers = after_all_changes(2 * 3 * len(requests), requests)
    assert all(workers[uid] >= 1 for uid, one in requests.items() if one.desired)


@given(budgets, any_requests, st.sets(st.sampled_from("abcdef")))
def test_jobs_get_half_of_the_budget_before_any_least(budget, requests, by_number):
    requests = {
        uid: replace(one, busy=0, needed=0, least=one.desired if uid in by_number else 0)
        for uid, one in requests.items()
    }
    requests, workers = after_all_changes(budget, requests)
    held = {uid: one.connections * workers[uid] for uid, one in requests.items()}
    least = sum(held[uid] for uid in requests if uid in by_number)
    lacking = [uid for uid, one in requests.items() if uid not in by_number and workers[uid] < one.desired]
    assert not lacking or least <= sum(held.values()) - least + 3


@given(budgets, any_requests)
def test_no_pool_has_two_workers_more_than_one_that_lacks_some(budget, requests):
    requests, workers = after_all_changes(
        budget, {uid: replace(one, busy=0, least=0, needed=0) for uid, one in requests.items()}
    )
    lacking = [workers[uid] for uid, one in requests.items() if workers[uid] < one.desired]
    assert not lacking or max(workers.values()) <= min(lacking) + 1


@given(budgets, any_requests, st.sampled_from("abcdef"))
def test_one_more_desired_worker_changes_no_share_by_more_than_two(budget, requests, uid):
    requests, before = after_all_changes(
        budget, {uid: ConnectionRequest(1), **{name: replace(one, busy=0) for name, one in requests.items()}}
    )
    after = divide(budget, {**requests, uid: replace(requests[uid], desired=requests[uid].desired + 1)})
    assert all(abs(after[name] - workers) <= 2 for name, workers in before.items())
