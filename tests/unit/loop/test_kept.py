"""What is kept of a pool that rests: ten thousand of them fit into the controller's memory as text."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from jobtide_controller.api.v1alpha1 import JobWorkerPool, JobWorkerPoolSpec
from jobtide_controller.loop import pools
from tests.unit.kube.objects import pod, pool

LIMITED = {"tenants": {"maxConcurrent": 3}, "retention": {"completedDays": 7}}
IN_A_WINDOW = {"schedules": [{"name": "day", "cron": "0 0 * * *", "durationSeconds": 86_400, "maxReplicas": 3}]}


def parsed(type_: str) -> int:
    """The parsed pools of this type that anything holds."""
    return sum(isinstance(one, JobWorkerPoolSpec) and type_ in one.types for one in gc.get_objects())


def words_in(root: object) -> Iterator[str]:
    """All texts that this value holds."""
    waiting, seen = [root], set[int]()
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            yield found
        elif id(found) not in seen and not isinstance(found, type):
            seen.add(id(found))
            waiting += gc.get_referents(found)


# In a window: as the user wrote it, and as the window has it. The page tells from them what a job was promised.
@pytest.mark.parametrize(
    ("spec", "kept"), [({}, 0), (LIMITED, 0), (IN_A_WINDOW, 2)], ids=["plain", "with limits of tenants", "in a window"]
)
async def test_nothing_keeps_a_pool_parsed_but_the_cache_and_its_windows(world, monkeypatch, spec, kept):
    monkeypatch.setattr(pools, "_parsed_pool", pools.ParsedTexts(JobWorkerPool.model_validate_json, 0))
    world.inventory.upsert_pool(pool("resting", **spec))
    world.due("resting", count=3)
    await world.tick(times=3)
    world.source.depths = {}
    await world.until_idle()
    assert world.state("resting").gauges is not None
    assert parsed("resting") == kept


async def test_a_condition_is_kept_without_its_words_which_are_in_the_status(world):
    world.inventory.upsert_pool(pool())
    await world.until_idle()
    messages = {condition["message"] for condition in world.statuses[-1]["conditions"]}
    assert "Ready" in world.state().conditions
    assert not messages & set(words_in(world.state().conditions))


async def test_decisions_that_the_api_server_has_are_kept_in_the_status_alone(world):
    world.inventory.upsert_pool(pool())
    world.due(count=8)
    await world.tick(times=5)
    assert [one["replicas"] for one in world.statuses[-1]["decisions"]] == [2]
    world.inventory.upsert_pod(pod("first", ready_at="2026-11-24T12:00:03Z"))
    await world.tick()
    assert world.statuses[-1]["readyReplicas"] == 1
    assert world.state().unwritten_decisions is None


async def test_pools_without_a_busy_worker_share_the_empty_set(world):
    for name in ("a", "b"):
        world.inventory.upsert_pool(pool(name))
    await world.until_idle()
    assert world.state("a").busy_uids is world.state("b").busy_uids
