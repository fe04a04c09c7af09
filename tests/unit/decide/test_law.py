"""Tests properties of the scaling law, each for any pool, reading, fleet and history."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.decide.history import History, Learned
from jobtide_controller.decide.learn import learn
from jobtide_controller.decide.load import lasting_load
from jobtide_controller.decide.need import Situation, need
from jobtide_controller.decide.reading import Depth, Key, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.required import numbers_of
from jobtide_controller.decide.scaling import conclude, decide, propose
from tests.unit.decide.builders import NOW, A, World, depths, fleet, fleets, policies, share, spec, worlds

pytestmark = pytest.mark.slow  # properties over generated worlds

FAILED = [one for one in UnreadableReason if one is not UnreadableReason.NOT_ALLOWED]


def _situation(world: World, **changed: object) -> Situation:
    """The learned history is fixed, so that only `changed` can change the result."""
    history = replace(learn(world.policy.tenants, world.reading, world.history), counts={})
    situation = Situation(world.policy, world.reading, world.fleet, history, world.now)
    return replace(situation, **changed)  # type: ignore[arg-type]


def _with(reading: Reading, key: Key, depth: Depth) -> Reading:
    return replace(reading, depths={**reading.depths, key: depth})


def _with_promise(world: World) -> World:
    policy = world.policy.model_copy(update={"jobs_per_worker": None})
    return replace(world, policy=policy)


@given(worlds())
def test_replicas_are_at_least_the_minimum_and_at_most_the_maximum_or_the_busy_and_claiming_workers(world):
    decision = world.decide()
    fleet = world.fleet
    kept = max(fleet.busy, fleet.min_replicas_for_busy) + fleet.may_claim
    share = world.share
    least = world.policy.min_replicas if share is None else min(world.policy.min_replicas, share.workers)
    assert least <= decision.replicas <= max(world.policy.max_replicas, min(kept, fleet.current_replicas or 0))


@given(worlds(), st.sampled_from(FAILED), st.integers(1, 5))
def test_unreadable_database_changes_neither_replicas_nor_history(world, reason, times):
    history, unreadable = world.history, Unreadable(reason, "connection lost", NOW)
    for tick in range(times):
        decision = decide(world.policy, unreadable, world.fleet, history, world.now + tick, world.share)
        history = decision.history
        share = world.share
        first = world.policy.min_replicas if share is None else min(world.policy.min_replicas, share.workers)
        expected = first if world.fleet.current_replicas is None else world.fleet.current_replicas
        assert decision.replicas == expected
    assert history is world.history


@given(worlds())
def test_a_pool_that_may_not_use_its_database_has_no_workers(world):
    refused = Unreadable(UnreadableReason.NOT_ALLOWED, "not its namespace", NOW)
    decision = decide(world.policy, refused, world.fleet, world.history, world.now, world.share)
    assert decision.replicas == 0
    assert decision.history is world.history


@given(worlds(), st.integers(1, 50))
def test_a_due_row_gives_at_least_one_worker(world, due):
    waiting = replace(world, reading=_with(world.reading, A, Depth(due=due)))
    assert waiting.decide().replicas >= 1


@given(worlds())
def test_scaling_up_from_zero_takes_one_decision(world):
    decision = replace(world, fleet=fleet(0)).decide()
    recommended = [c.after for c in decision.limited_by if c.name not in ("Stabilization", "BusyWorkers")]
    assert decision.numbers is not None
    assert decision.replicas == (recommended[-1] if recommended else decision.numbers.required)


@given(worlds())
def test_scale_down_never_goes_below_the_busy_workers(world):
    decision, current = world.decide(), world.fleet.current_replicas or 0
    if decision.replicas < current:
        assert decision.replicas >= min(world.fleet.busy, current)


@given(worlds(), depths(), st.integers(1, 10_000))
def test_required_number_never_falls_when_more_rows_are_due(world, depth, more):
    before = _situation(world, reading=_with(world.reading, A, depth))
    after = replace(before, reading=_with(world.reading, A, replace(depth, due=depth.due + more)))
    assert numbers_of(after).required >= numbers_of(before).required


@given(worlds(), depths(), st.integers(1, 500))
def test_required_number_never_falls_when_a_tenant_without_a_cap_runs_more(world, depth, more):
    policy = world.policy.model_copy(update={"tenants": spec().tenants})
    before = _situation(replace(world, policy=policy), reading=_with(world.reading, A, depth))
    after = replace(before, reading=_with(world.reading, A, replace(depth, running=depth.running + more)))
    assert numbers_of(after).required >= numbers_of(before).required


@given(worlds(), st.integers(1, 5_000))
def test_longer_promise_never_requires_more_workers(world, longer):
    world = _with_promise(world)
    policy = world.policy.model_copy(update={"max_wait_seconds": world.policy.wait_seconds + longer})
    short = _situation(world)
    assert numbers_of(replace(short, policy=policy)).required <= numbers_of(short).required


@given(worlds())
def test_every_number_is_finite_and_none_is_negative(world):
    decision = world.decide()
    assert decision.numbers is not None
    assert all(math.isfinite(value) and value >= 0 for value in asdict(decision.numbers).values())
    for learned in decision.history.types.values():
        assert math.isfinite(learned.service_seconds)
        assert learned.service_seconds > 0
    assert all(math.isfinite(c.estimate) and c.estimate >= 0 for c in decision.history.counts.values())


@given(worlds())
def test_order_of_types_and_tenants_changes_nothing(world):
    reordered = replace(world.reading, depths=dict(reversed(world.reading.depths.items())))
    first, second = world.decide(), replace(world, reading=reordered).decide()
    assert (first.replicas, first.limited_by) == (second.replicas, second.limited_by)


@given(worlds(), depths())
def test_two_tenants_with_half_the_jobs_each_need_as_much_as_one(world, depth):
    policy = world.policy.model_copy(update={"tenants": spec().tenants})
    even = replace(depth, due=depth.due // 2 * 2, running=depth.running // 2 * 2, capped=False)
    half = replace(even, due=even.due // 2, running=even.running // 2)
    whole = _situation(replace(world, policy=policy), reading=Reading(world.now, {A: even}))
    halves = {Key("a", "left"): half, Key("a", "right"): half}
    split = replace(whole, reading=Reading(world.now, halves))
    # Long jobs take a slot each, short ones share one: only the rounding of the sums may differ.
    assert math.isclose(need(whole, 0.0).slots, need(split, 0.0).slots, rel_tol=1e-9, abs_tol=1e-9)


@given(worlds())
def test_same_inputs_give_the_same_decision(world):
    assert world.decide() == world.decide()


@given(worlds())
def test_numbers_and_clamps_reproduce_the_result(world):
    decision = world.decide()
    assert decision.numbers is not None
    replicas = decision.numbers.recomputed()
    for clamp in decision.limited_by:
        assert clamp.before == replicas
        replicas = clamp.after
    assert replicas == decision.replicas


@given(worlds(), depths(), st.integers(1, 40))
def test_waiting_rows_of_a_tenant_need_no_more_slots_than_its_cap_leaves(world, depth, cap):
    policy = world.policy.model_copy(update={"tenants": spec(tenants={"maxConcurrent": cap}).tenants})
    situation = _situation(replace(world, policy=policy), reading=Reading(world.now, {A: depth}))
    assert need(situation, 0.0).queue_slots <= max(0, cap - depth.running)


@given(worlds(), st.integers(1, 40))
def test_lasting_load_of_a_tenant_is_at_most_its_cap(world, cap):
    policy = world.policy.model_copy(update={"tenants": spec(tenants={"maxConcurrent": cap}).tenants})
    capped = replace(world, policy=policy, history=replace(world.history, flow={}))
    situation = _situation(capped)
    tenants = {group.tenant_id for group in situation.history.flow}
    assert None not in tenants
    assert lasting_load(situation).slots <= cap * len(tenants) + 1e-6


@given(policies(), fleets(), st.integers(0, 50))
def test_without_history_no_scale_down_happens_before_one_hold(policy, workers, seconds):
    workers = replace(workers, current_replicas=min(workers.current_replicas or 0, policy.max_replicas))
    first = decide(policy, Reading(NOW, {}), workers, History(), NOW)
    assert first.numbers is not None
    assert first.replicas >= workers.current_replicas
    later = decide(policy, Reading(NOW + seconds, {}), workers, first.history, NOW + seconds)
    if seconds <= first.numbers.hold_seconds:
        assert later.replicas >= workers.current_replicas


@given(st.integers(1, 100), st.integers(1, 100), st.floats(0.2, 19))
def test_failing_attempts_do_not_change_the_service_time(running, failed, seconds):
    learned = Learned(slot_seconds=50, jobs=10, ran_seconds=100)
    before = Depth(due=10, running=running)
    after = Depth(due=10, running=running, later=failed)
    failed_at_once = Depth(due=10, running=max(0, running - failed), later=failed)
    for now in (after, failed_at_once):
        history = learn(spec().tenants, Reading(NOW, {A: before}), History(types={"a": learned}))
        history = learn(spec().tenants, Reading(NOW + seconds, {A: now}), history)
        assert history.learned("a").service_seconds == learned.service_seconds


@given(st.floats(0.5, 60), st.floats(0.01, 5_000))
def test_scheduled_row_gets_a_worker_one_start_time_before_it_falls_due_and_not_earlier(start, ahead):
    workers = replace(fleet(0), start_seconds=start)
    row = Depth(later=1, next_due_at=NOW + ahead)
    decision = decide(spec(), Reading(NOW, {A: row}), workers, History(), NOW)
    assert decision.replicas == (1 if NOW + ahead <= NOW + start + 1 else 0)


@given(st.floats(0.5, 60), st.floats(2, 5_000))
def test_wake_up_time_for_a_scheduled_row_is_early_enough(start, ahead):
    workers = replace(fleet(0), start_seconds=start)
    row = Depth(later=1, next_due_at=NOW + start + ahead)
    before = decide(spec(), Reading(NOW, {A: row}), workers, History(), NOW)
    assert before.wake_at is not None
    after = decide(spec(), Reading(before.wake_at, {A: row}), workers, before.history, before.wake_at)
    assert (before.replicas, after.replicas) == (0, 1)


@given(worlds(), st.integers(0, 80))
def test_large_enough_share_changes_nothing(world, spare):
    proposal = propose(world.policy, world.reading, world.fleet, world.history, world.now)
    most = max(world.policy.max_replicas, world.fleet.current_replicas or 0, proposal.unlimited.replicas)
    concluded = conclude(proposal, share(most + spare))
    assert replace(concluded, share=None) == proposal.unlimited


@given(worlds(), st.integers(0, 80), st.integers(0, 60))
def test_no_pool_scales_up_beyond_its_share(world, workers, pin):
    policy = world.policy.model_copy(update={"replicas": pin or None})
    concluded = conclude(propose(policy, world.reading, world.fleet, world.history, world.now), share(workers))
    assert concluded.replicas <= max(workers, world.fleet.current_replicas or 0)


@given(worlds(), st.sampled_from([math.nan, math.inf, -math.inf, -1.0]), st.integers(1, 50))
def test_an_age_that_is_no_number_is_no_reason_to_fail(world, age, due):
    odd = Depth(due=due, oldest_age_seconds=age, mean_age_seconds=age)
    decision = replace(world, reading=_with(world.reading, A, odd)).decide()
    assert decision.replicas >= 1
    assert decision == replace(world, reading=_with(world.reading, A, odd)).decide()


@given(worlds(), st.floats(0.1, 60))
def test_a_clock_set_back_by_up_to_a_minute_leaves_the_load_as_it_was(world, seconds):
    history = learn(world.policy.tenants, world.reading, world.history)
    before = Situation(world.policy, world.reading, world.fleet, history, world.now)
    assert history.read_at is not None
    behind = replace(world.reading, taken_at=history.read_at - seconds)
    assert learn(world.policy.tenants, behind, history) == history
    at_the_last_reading = replace(world.reading, taken_at=max(world.reading.taken_at, history.read_at))
    assert lasting_load(replace(before, reading=behind)) == lasting_load(replace(before, reading=at_the_last_reading))


@given(worlds(), st.integers(1, 500), st.integers(1, 6))
def test_rows_that_are_put_off_and_return_are_no_arrivals(world, rows, times):
    history = learn(spec().tenants, Reading(NOW, {A: Depth(due=rows)}), History())
    for tick in range(times):
        put_off, returned = Depth(later=rows), Depth(due=rows)
        history = learn(spec().tenants, Reading(NOW + 2 * tick + 1, {A: put_off}), history)
        history = learn(spec().tenants, Reading(NOW + 2 * tick + 2, {A: returned}), history)
    assert not history.flow
    assert not history.put_off


@given(worlds(), depths(), st.integers(1, 10**12))
def test_required_number_never_falls_when_the_sample_has_more_rows(world, depth, more):
    capped = replace(depth, capped=True)

    def required(about: int) -> int:
        reading = _with(world.reading, A, replace(capped, about=about))
        return numbers_of(
            Situation(world.policy, reading, world.fleet, learn(spec().tenants, reading, History()), NOW)
        ).required

    assert required(depth.about + depth.due + more) >= required(depth.about + depth.due)


@given(worlds(), st.integers(1, 40))
def test_a_small_step_down_waits_unless_it_is_to_the_minimum(world, current):
    decision = replace(world, fleet=fleet(current), share=None).decide()
    step, most = current - decision.replicas, world.policy.max_replicas
    others = [c for c in decision.limited_by if c.name in ("BusyWorkers", "Pinned", "Paused")]
    if 0 < step < 0.1 * current and current <= most and not others:
        assert decision.replicas == world.policy.min_replicas
