"""An idle pool costs nothing, and misses nothing."""

from __future__ import annotations

import pytest

from jobtide_controller.decide.reading import Depth, Key
from tests.unit.kube.objects import deployment, pool


async def test_idle_pools_are_not_looked_at(world):
    for number in range(20):
        world.inventory.upsert_pool(pool(f"p{number}"))
    await world.until_idle()
    looked, ticks = world.looks, len(world.source.asked)
    await world.tick(0.2, times=100)
    assert world.looks == looked
    assert len(world.source.asked) == ticks + 100


async def test_an_idle_pool_wakes_up_for_jobs_of_its_types_alone(world):
    world.inventory.upsert_pool(pool("a"))
    world.inventory.upsert_pool(pool("b"))
    await world.until_idle()
    world.applied.clear()
    world.due("b", count=8)
    await world.tick()
    assert world.applied == [("b", 2)]


async def test_an_idle_pool_wakes_up_when_it_changes(world):
    world.inventory.upsert_pool(pool())
    await world.until_idle()
    world.inventory.upsert_pool(pool(generation=2, minReplicas=3))
    await world.tick()
    assert world.applied[-1] == ("thumbs", 3)


async def test_another_clients_number_of_replicas_is_overruled(world):
    world.inventory.upsert_pool(pool(minReplicas=2))
    await world.until_idle()
    world.inventory.upsert_deployment(deployment("thumbs", uid="d-thumbs", replicas=9))
    await world.tick(120, times=3)
    assert world.applied[-1] == ("thumbs", 2)


async def test_a_pool_that_becomes_idle_has_reported_its_last_numbers(world):
    world.inventory.upsert_pool(pool())
    world.due(count=3)
    await world.tick()
    world.source.depths = {}
    await world.until_idle()
    assert world.statuses[-1]["pending"] == 0
    assert world.statuses[-1]["desiredReplicas"] == 0


async def test_a_long_idle_time_is_no_gap_in_what_was_seen(world):
    world.inventory.upsert_pool(pool())
    await world.until_idle()
    await world.tick(0.2, times=3)
    world.due(count=100, arrivals=100)
    await world.tick()
    history = world.state().history
    assert history.read_at == world.clock()
    assert sum(piece.rows for pieces in history.flow.values() for piece in pieces) == 100


async def test_the_loop_wakes_up_for_a_scheduled_job_early_by_a_pods_start(world):
    world.inventory.upsert_pool(pool())
    await world.tick()
    now = world.clock() + 0.2
    world.source.depths[Key("thumbs", "t")] = Depth(later=1, next_due_at=now + 10.15)
    pause = await world.tick()
    assert pause == pytest.approx(0.15)
    await world.tick(pause)
    assert world.applied[-1] == ("thumbs", 1)
