"""A pool that has nothing to do costs nothing, and misses nothing."""

from __future__ import annotations

import pytest

from jobtide_controller.decide.reading import Depth, Key
from tests.unit.kube.objects import deployment, pool


async def test_pools_at_rest_are_not_looked_at(world):
    for number in range(20):
        world.inventory.upsert_pool(pool(f"p{number}"))
    await world.until_at_rest()
    looked, ticks = world.applier.looked, len(world.source.asked)
    await world.tick(0.2, times=100)
    assert world.applier.looked == looked
    assert len(world.source.asked) == ticks + 100


async def test_a_pool_at_rest_wakes_for_jobs_of_its_types_alone(world):
    world.inventory.upsert_pool(pool("a"))
    world.inventory.upsert_pool(pool("b"))
    await world.until_at_rest()
    world.applier.applied.clear()
    world.due("b", count=8)
    await world.tick()
    assert world.applier.applied == [("b", 2)]


async def test_a_pool_at_rest_wakes_when_the_watch_saw_it_change(world):
    world.inventory.upsert_pool(pool())
    await world.until_at_rest()
    world.inventory.upsert_pool(pool(generation=2, minReplicas=3))
    await world.tick()
    assert world.applier.applied[-1] == ("thumbs", 3)


async def test_somebody_elses_number_of_replicas_is_put_right(world):
    world.inventory.upsert_pool(pool(minReplicas=2))
    await world.until_at_rest()
    world.inventory.upsert_deployment(deployment("thumbs", uid="d-thumbs", replicas=9))
    await world.tick(120, times=3)
    assert world.applier.applied[-1] == ("thumbs", 2)


async def test_a_pool_that_comes_to_rest_has_told_its_last_numbers(world):
    world.inventory.upsert_pool(pool())
    world.due(count=3)
    await world.tick()
    world.source.depths = {}
    await world.until_at_rest()
    assert world.statuses[-1]["pending"] == 0
    assert world.statuses[-1]["desiredReplicas"] == 0


async def test_long_rest_is_no_gap_in_what_was_seen(world):
    world.inventory.upsert_pool(pool())
    await world.until_at_rest()
    await world.tick(0.2, times=3)
    world.due(count=100, arrivals=100)
    await world.tick()
    history = world.pipeline._histories["uid-thumbs"]
    assert history.read_at == world.clock()
    assert sum(piece.rows for pieces in history.flow.values() for piece in pieces) == 100


async def test_the_loop_wakes_for_a_scheduled_job_early_by_a_pods_start(world):
    world.inventory.upsert_pool(pool())
    await world.tick()
    now = world.clock() + 0.2
    world.source.depths[Key("thumbs", "t")] = Depth(later=1, next_due_at=now + 10.15)
    pause = await world.tick()
    assert pause == pytest.approx(0.15)
    await world.tick(pause)
    assert world.applier.applied[-1] == ("thumbs", 1)
