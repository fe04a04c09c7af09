"""Where types have promises of their own, each gets the workers that it needs, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.decide import required
from jobtide_controller.decide.history import History, Learned
from jobtide_controller.decide.learn import learn
from jobtide_controller.decide.need import Situation
from jobtide_controller.decide.promises import PromiseNeed, numbers_of
from jobtide_controller.decide.reading import Depth, Key, Reading
from jobtide_controller.decide.reasons import Note
from jobtide_controller.decide.scaling import decide
from tests.unit.decide.builders import NOW, World, fleet, spec, worlds

A, B = Key("a", "t1"), Key("b", "t2")
KNOWN = History(types={"a": Learned(100, 100), "b": Learned(100, 100)})  # a second a job


def decided(depths, promises, workers=None, **fields):
    policy = spec(promises=promises, **{"maxReplicas": 200, "concurrency": 4, **fields})
    return decide(policy, Reading(NOW, depths), workers or fleet(0, start_seconds=0.0), KNOWN, NOW)


@pytest.mark.parametrize(
    ("depths", "promises", "expected"),
    [
        # 960 rows of 1 s within 24 s: 40 slots. 960 within 480 s: 2. All 1,920 within 480 s: 4.
        pytest.param({A: 960, B: 960}, {"a": 30, "b": 600}, [(30, 10), (600, 1)], id="the short one decides"),
        pytest.param({A: 96, B: 48_000}, {"a": 30, "b": 600}, [(30, 1), (600, 26)], id="the long one decides"),
        pytest.param({B: 960}, {"a": 30, "b": 600}, [(30, 0), (600, 1)], id="only the long one waits"),
        pytest.param({A: 960, B: 960}, {"a": 30, "b": 30}, [(30, 20)], id="the same promise for both"),
        pytest.param({A: 960, B: 960}, {"b": 600}, [(30, 10), (600, 1)], id="the others have the pool's"),
        pytest.param({A: 960, B: 960}, {}, [], id="none of their own"),
    ],
)
def test_the_pool_needs_the_greatest_of_what_each_promise_needs(depths, promises, expected):
    decision = decided({key: Depth(due=due) for key, due in depths.items()}, promises, maxWaitSeconds=30)
    assert [(one.seconds, one.required) for one in decision.needs] == expected
    if expected:
        assert decision.numbers.required == max(workers for _, workers in expected)
        assert decision.numbers.promise_seconds == max(expected, key=lambda one: one[1])[0]


def test_totals_are_those_of_the_whole_pool():
    depths = {A: Depth(due=960, later=3, oldest_age_seconds=1), B: Depth(due=40, later=2, oldest_age_seconds=99)}
    numbers = decided(depths, {"a": 30, "b": 600}).numbers
    assert (numbers.due, numbers.due_within, numbers.later, numbers.oldest_seconds) == (1_000, 960, 5, 99)


@pytest.mark.parametrize(
    ("depths", "is_late"),
    [
        pytest.param({A: Depth(due=1, oldest_age_seconds=31)}, True, id="31 s of 30"),
        pytest.param({B: Depth(due=1, oldest_age_seconds=599)}, False, id="599 s of 600"),
        pytest.param({B: Depth(due=1, oldest_age_seconds=601)}, True, id="601 s of 600"),
        pytest.param({A: Depth(due=1), B: Depth(due=1, oldest_age_seconds=100)}, False, id="100 s of 600, not of 30"),
    ],
)
def test_a_type_is_late_by_its_own_promise(depths, is_late):
    assert (Note.PROMISE_MISSED in decided(depths, {"a": 30, "b": 600}).notes) == is_late


def test_the_shortest_promise_is_compared_with_a_start():
    workers = fleet(0, start_seconds=40.0)
    assert decided({}, {"a": 30, "b": 600}, workers).notes == (Note.PROMISE_BELOW_START,)
    assert decided({}, {"b": 600}, workers, maxWaitSeconds=100).notes == ()


def test_an_idle_pool_shows_each_promise():
    policy, reading, workers = spec(promises={"a": 30}), Reading(NOW, {}), fleet(0)
    first = decide(policy, reading, workers, History(), NOW)
    for _ in range(2):
        reading = replace(reading, taken_at=reading.taken_at + 100)
        idle = decide(policy, reading, workers, first.history, reading.taken_at)
        assert (idle.needs, idle.numbers) == (first.needs, first.numbers) != ((), None)
        first = idle
    assert first.needs == (PromiseNeed(30, 0, ("a",)), PromiseNeed(60, 0, ("b",)))


def _situation(world: World) -> Situation:
    policy = world.policy.model_copy(update={"jobs_per_worker": None})
    history = replace(learn(policy.tenants, world.reading, world.history), counts={})
    return Situation(policy, world.reading, world.fleet, history, world.now)


def _with(situation: Situation, promises: dict[str, int]) -> Situation:
    return replace(situation, policy=situation.policy.model_copy(update={"promises": promises}))


def _required(situation: Situation, promises: dict[str, int]) -> int:
    return numbers_of(_with(situation, promises))[0].required


SECONDS = st.integers(1, 3_600)


@pytest.mark.slow
@given(worlds(), SECONDS, SECONDS, st.integers(0, 3_600))
def test_a_shorter_promise_never_asks_for_fewer_workers(world, seconds, other, longer):
    situation = _situation(world)
    shorter = _required(situation, {"a": seconds, "b": other})
    assert shorter >= _required(situation, {"a": seconds + longer, "b": other})
    assert shorter >= _required(situation, {"a": seconds, "b": other + longer})


@pytest.mark.slow
@given(worlds(), SECONDS)
def test_equal_promises_ask_for_what_the_pools_own_does(world, seconds):
    situation = _situation(world)
    own = replace(situation, policy=situation.policy.model_copy(update={"max_wait_seconds": seconds}))
    plain, equal = required.numbers_of(own), numbers_of(_with(situation, {"a": seconds, "b": seconds}))[0]
    assert replace(equal, due_within=0.0) == plain


@pytest.mark.slow
@given(worlds(), SECONDS, SECONDS)
def test_promises_need_at_most_what_the_shortest_would_for_all(world, seconds, other):
    situation, shortest = _situation(world), min(seconds, other)
    assert _required(situation, {"a": seconds, "b": other}) <= _required(situation, {"a": shortest, "b": shortest})


@pytest.mark.slow
@given(worlds(), SECONDS, SECONDS)
def test_the_stored_numbers_reproduce_what_is_required(world, seconds, other):
    numbers, needs = numbers_of(_with(_situation(world), {"a": seconds, "b": other}))
    assert numbers.recomputed() == numbers.required == max(one.required for one in needs)


@pytest.mark.slow
@given(worlds(), SECONDS, SECONDS)
def test_limits_hold_with_promises_too(world, seconds, other):
    policy = world.policy.model_copy(update={"jobs_per_worker": None, "promises": {"a": seconds, "b": other}})
    decision = replace(world, policy=policy).decide()
    kept = max(world.fleet.busy, world.fleet.min_replicas_for_busy) + world.fleet.may_claim
    least = policy.min_replicas if world.share is None else min(policy.min_replicas, world.share.workers)
    assert least <= decision.replicas <= max(policy.max_replicas, min(kept, world.fleet.current_replicas or 0))


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.sampled_from([10, 60, 600]), st.integers(1, 5_000)), min_size=1, max_size=3),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_workers_that_take_the_earliest_deadline_first_meet_every_deadline(waiting, job_seconds):
    """As many slots as required, all ready: the rows of each promise have started when it is over."""
    rows: dict[int, int] = {}
    for seconds, number in waiting:
        rows[seconds] = rows.get(seconds, 0) + number
    names = {seconds: f"p{seconds}" for seconds in (10, 60, 600)}
    policy = spec(types=list(names.values()), promises={name: seconds for seconds, name in names.items()})
    learned = History(types={name: Learned(job_seconds * 1e6, 1e6) for name in names.values()})
    depths = {Key(names[seconds], "t"): Depth(due=number) for seconds, number in rows.items()}
    workers = fleet(10_000, start_seconds=0.0)
    numbers, _ = numbers_of(Situation(policy, Reading(NOW, depths), workers, learned, NOW))
    slots, started = numbers.queue_slots + numbers.occupied_slots, 0.0
    for seconds in sorted(rows):
        started += rows[seconds]
        last_start = 0.0 if started <= slots else started * job_seconds / slots
        assert last_start <= seconds


ALWAYS = {"name": "all-day", "cron": "0 0 * * *", "durationSeconds": 86_400, "maxWaitSeconds": 10}


@pytest.mark.parametrize(
    ("depths", "is_late"),
    [
        pytest.param({B: Depth(due=1, oldest_age_seconds=599)}, False, id="its own promise"),
        pytest.param({B: Depth(due=1, oldest_age_seconds=601)}, True, id="later than its own"),
        pytest.param({A: Depth(due=1, oldest_age_seconds=11)}, True, id="later than that of the window"),
    ],
)
def test_a_window_by_the_clock_changes_the_promise_of_the_other_types_alone(depths, is_late):
    decision = decided(depths, {"b": 600}, schedules=[ALWAYS])
    assert [one.seconds for one in decision.needs] == [10, 600]
    assert (Note.PROMISE_MISSED in decision.notes) == is_late
