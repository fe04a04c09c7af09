"""Promises of types, limits of tenants and windows by the clock in one pool: each keeps what it promises alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.limits import ALL_TYPES, Limit, with_limits
from jobtide_controller.decide.need import is_paused
from jobtide_controller.decide.reading import Key
from jobtide_controller.decide.scaling import decide
from jobtide_controller.plugin import why
from jobtide_controller.render import status
from jobtide_controller.render.facts import Context
from tests.unit.decide.builders import NOW, pool, worlds

TENANTS = ["t1", "t2", "t3"]
PROMISES = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 3_600))
LIMITS = st.builds(
    Limit, st.none() | st.sampled_from([0, 0, 1, 9]), st.none(), st.sampled_from([None, NOW - 5, NOW + 5])
)
SHARED = st.dictionaries(st.builds(Key, st.sampled_from([ALL_TYPES, "a", "b"]), st.sampled_from(TENANTS)), LIMITS)
WINDOW = {"cron": "0 * * * *", "durationSeconds": 3_600}
WINDOWS = st.lists(
    st.sampled_from([{"maxReplicas": 0}, {"maxReplicas": 3}, {"minReplicas": 2}, {"maxWaitSeconds": 5}]), max_size=4
)


def _pool(world, promises, windows):
    own = world.policy.model_copy(update={"jobs_per_worker": None, "max_wait_seconds": None})
    given_spec = json.loads(own.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True))
    given_spec["schedules"] = [{**WINDOW, **limits, "name": f"w{number}"} for number, limits in enumerate(windows)]
    return pool(**{**given_spec, "types": ["a", "b"], "promises": promises})


@pytest.mark.slow
@given(worlds(), PROMISES, SHARED, WINDOWS)
def test_all_limits_hold_at_once_and_the_status_and_why_can_be_written(world, promises, shared, windows):
    made = _pool(world, promises, windows)
    spec = with_limits(made.spec, shared, world.reading, world.history)
    decision = decide(spec, world.reading, world.fleet, world.history, world.now, world.share)
    held = spec if decision.in_force is None else decision.in_force.spec
    kept = max(world.fleet.busy, world.fleet.min_replicas_for_busy) + world.fleet.may_claim
    least = held.min_replicas if world.share is None else min(held.min_replicas, world.share.workers)
    assert least <= decision.replicas <= max(held.max_replicas, min(kept, world.fleet.current_replicas or 0))
    rendered = status.render(
        made.model_copy(update={"spec": spec}), world.reading, world.fleet, decision, Context(), None, world.now
    )
    reported = {**made.model_dump(by_alias=True, mode="json"), "status": rendered}
    assert why.render(JobWorkerPool.model_validate(reported), world.now)


@pytest.mark.slow
@given(worlds(), PROMISES, SHARED, WINDOWS)
def test_due_jobs_of_paused_tenants_need_no_worker(world, promises, shared, windows):
    spec = with_limits(_pool(world, promises, windows).spec, shared, world.reading, world.history)
    history = replace(world.history, flow={}, counts={})  # what has arrived lasts for a while
    paused = {key for key in world.reading.depths if is_paused(spec.tenants, key)}
    depths = {key: replace(depth, running=0) if key in paused else depth for key, depth in world.reading.depths.items()}
    without = {key: depth for key, depth in depths.items() if key not in paused}
    found = [
        decide(spec, replace(world.reading, depths=one), world.fleet, replace(history, read_at=None), world.now)
        for one in (depths, without)
    ]
    assert found[0].numbers.required == found[1].numbers.required
