"""A database's connections among its pools: who gets how many workers, in ordinary cases and in all others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.decide.connection_shares import ConnectionRequest, connection_request, divide
from jobtide_controller.decide.fleet import Fleet, Pod
from jobtide_controller.decide.reading import Reading, Unreadable, UnreadableReason
from tests.unit.decide.builders import NOW, TEMPLATE, fleet, spec

EMPTY = Reading(NOW, {})


@pytest.mark.parametrize(
    ("budget", "bids", "workers"),
    [
        pytest.param(
            100, {"a": ConnectionRequest(8), "b": ConnectionRequest(3)}, {"a": 8, "b": 3}, id="enough for all"
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(8), "b": ConnectionRequest(3)},
            {"a": 7, "b": 3},
            id="who wants little gets all of it",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(8, current=7), "b": ConnectionRequest(3, current=3), "c": ConnectionRequest(5)},
            {"a": 4, "b": 3, "c": 0},
            id="c comes",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(8, current=6), "b": ConnectionRequest(3, current=3), "c": ConnectionRequest(5)},
            {"a": 4, "b": 3, "c": 1},
            id="one went",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(8, current=7, busy=0), "b": ConnectionRequest(5)},
            {"a": 5, "b": 3},
            id="three are free by now",
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
            id="who leaves still holds",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(9, current=10, busy=8), "b": ConnectionRequest(5)},
            {"a": 8, "b": 0},
            id="busy ones are not cut",
        ),
        pytest.param(
            8,
            {"a": ConnectionRequest(9, current=9, busy=9), "b": ConnectionRequest(5, current=1)},
            {"a": 9, "b": 0},
            id="above it by the busy",
        ),
        pytest.param(
            20,
            {"a": ConnectionRequest(9, least=8), "b": ConnectionRequest(9)},
            {"a": 8, "b": 2},
            id="minReplicas first",
        ),
        pytest.param(
            8,
            {"a": ConnectionRequest(3, least=3), "b": ConnectionRequest(3, least=3)},
            {"a": 2, "b": 2},
            id="not even the minimums",
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
            id="no overtaking",
        ),
        pytest.param(6, {"a": ConnectionRequest(9), "b": ConnectionRequest(9)}, {"a": 2, "b": 1}, id="tie: by name"),
        pytest.param(
            6,
            {"a": ConnectionRequest(9, current=1), "b": ConnectionRequest(9, current=2)},
            {"a": 1, "b": 2},
            id="tie: who has it keeps it",
        ),
        pytest.param(1, {"a": ConnectionRequest(9)}, {"a": 0}, id="less than one worker needs"),
        pytest.param(10, {}, {}, id="nobody"),
    ],
)
def test_workers_of_each_pool(budget, bids, workers):
    assert divide(budget, bids) == workers


@pytest.mark.parametrize(
    ("pods", "want", "expected"),
    [
        pytest.param([Pod("1", "1", NOW, ready=True)], 3, (3, 0), id="asked for and not there yet"),
        pytest.param([Pod("1", "1", NOW), Pod("2", "2", NOW)], 1, (2, 0), id="not stopped yet"),
        pytest.param([Pod("1", "1", NOW, terminating=True)], 1, (1, 1), id="draining"),
        pytest.param([Pod("1", "1", NOW, finished=True)], 0, (0, 0), id="ended"),
        pytest.param([], None, (0, 0), id="no Deployment yet"),
    ],
)
def test_a_pool_holds_what_is_up_what_is_coming_and_what_still_goes(pods, want, expected):
    made = connection_request(spec(), EMPTY, Fleet(current_replicas=want, pods=tuple(pods)), 5)
    assert (made.current, made.leaving) == expected


@pytest.mark.parametrize(
    ("env", "connections"),
    [
        pytest.param([], 2, id="as usual"),
        pytest.param([{"name": "JOBTIDE_LISTEN", "value": "1"}], 3, id="listens"),
        pytest.param([{"name": "JOBTIDE_LISTEN", "value": "0"}], 2, id="says that it does not"),
        pytest.param([{"name": "JOBTIDE_LISTEN", "valueFrom": {"configMapKeyRef": {}}}], 3, id="may"),
    ],
)
def test_a_worker_that_listens_takes_one_more(env, connections):
    container = {**TEMPLATE["spec"]["containers"][0], "env": env}
    policy = spec(template={"spec": {"containers": [{"name": "side", "env": [{"name": "JOBTIDE_LISTEN"}]}, container]}})
    assert connection_request(policy, EMPTY, fleet(1), 1).connections == connections


@pytest.mark.parametrize(
    ("fields", "want", "least"),
    [
        pytest.param({"minReplicas": 3}, 5, 3, id="minimum"),
        pytest.param({"replicas": 8, "maxReplicas": 8}, 8, 8, id="pin"),
        pytest.param({"minReplicas": 3, "paused": True}, 0, 0, id="paused"),
    ],
)
def test_what_the_user_asked_for_by_number_comes_first(fields, want, least):
    assert connection_request(spec(**fields), EMPTY, fleet(0), want).least == least


def test_unread_every_worker_counts_as_busy():
    blind = Unreadable(UnreadableReason.UNREACHABLE, "connection refused", NOW)
    assert connection_request(spec(), blind, fleet(4), 4).busy == 4
    assert connection_request(spec(), EMPTY, fleet(4, busy=1), 4).busy == 1


@st.composite
def bids(draw: st.DrawFn) -> ConnectionRequest:
    desired, current = draw(st.integers(0, 30)), draw(st.integers(0, 30))
    return ConnectionRequest(
        desired=desired,
        least=draw(st.integers(0, desired)),
        busy=draw(st.integers(0, current)),
        current=current,
        leaving=draw(st.integers(0, 5)),
        connections=draw(st.sampled_from([2, 3])),
    )


many = st.dictionaries(st.sampled_from("abcdef"), bids(), max_size=6)
budgets = st.integers(0, 150)


def taken(bids_, workers):
    return sum(one.connections * (workers[uid] + one.leaving) for uid, one in bids_.items())


@given(budgets, many)
def test_never_more_than_the_budget_unless_busy_or_leaving_workers_are(budget, made):
    unmoved = taken(made, {uid: one.busy for uid, one in made.items()})
    assert taken(made, divide(budget, made)) <= max(budget, unmoved)


@given(budgets, many)
def test_nothing_begins_before_its_connections_are_free(budget, made):
    workers = divide(budget, made)
    coming = sum(one.connections * max(0, workers[uid] - one.current) for uid, one in made.items())
    assert coming <= max(0, budget - sum(one.held for one in made.values()))


@given(budgets, many)
def test_nobody_gets_more_than_it_wants_nor_less_than_is_busy(budget, made):
    for uid, workers in divide(budget, made).items():
        assert made[uid].busy <= workers <= max(made[uid].desired, made[uid].busy)


@given(budgets, many)
def test_the_order_of_pools_changes_nothing(budget, made):
    assert divide(budget, made) == divide(budget, dict(reversed(made.items())))


@given(budgets, many, st.integers(1, 20))
def test_a_larger_budget_takes_nothing_from_anybody(budget, made, more):
    smaller, larger = divide(budget, made), divide(budget + more, made)
    assert all(larger[uid] >= workers for uid, workers in smaller.items())


@given(budgets, many, st.sampled_from("abcdef"), st.integers(1, 10))
def test_who_wants_more_never_gets_less(budget, made, uid, more):
    made = {uid: ConnectionRequest(1), **made}
    wanting = {**made, uid: replace(made[uid], desired=made[uid].desired + more)}
    assert divide(budget, wanting)[uid] >= divide(budget, made)[uid]


def settled(budget, made):
    """As it stands when all that goes has gone and all that may come has come."""
    made = {uid: replace(one, leaving=0) for uid, one in made.items()}
    for _ in range(3):
        made = {uid: replace(made[uid], current=workers) for uid, workers in divide(budget, made).items()}
    return made, divide(budget, made)


@given(budgets, many)
def test_it_settles(budget, made):
    made, workers = settled(budget, made)
    assert workers == {uid: one.current for uid, one in made.items()}


@given(many)
def test_everybody_has_a_worker_while_there_is_room(made):
    made = {uid: replace(one, busy=0, least=min(one.desired, 1)) for uid, one in made.items()}
    _, workers = settled(3 * len(made), made)
    assert all(workers[uid] >= 1 for uid, one in made.items() if one.desired)


@given(budgets, many)
def test_among_pools_that_lack_workers_none_has_two_more_than_another(budget, made):
    made, workers = settled(budget, {uid: replace(one, busy=0, least=0) for uid, one in made.items()})
    lacking = [workers[uid] for uid, one in made.items() if workers[uid] < one.desired]
    assert not lacking or max(workers.values()) <= min(lacking) + 1


@given(budgets, many, st.sampled_from("abcdef"))
def test_a_want_that_moves_by_one_moves_nobody_by_more(budget, made, uid):
    made, before = settled(
        budget, {uid: ConnectionRequest(1), **{name: replace(one, busy=0) for name, one in made.items()}}
    )
    after = divide(budget, {**made, uid: replace(made[uid], desired=made[uid].desired + 1)})
    assert all(abs(after[name] - workers) <= 2 for name, workers in before.items())
