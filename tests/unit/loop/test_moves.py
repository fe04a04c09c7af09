"""A pool that is given to another database: what one loop knows of it must not stay behind."""

from __future__ import annotations

from jobtide_controller.decide.reading import Depth, Key
from tests.unit.kube.objects import pool
from tests.unit.loop.world import World, blind


async def test_a_pool_that_moves_to_another_database_gives_back_its_connections():
    world = World(connections=12)
    for name in ("a", "b"):
        world.inventory.upsert_pool(pool(name, jobsPerWorker=4))
        world.due(name, count=40)
    await world.tick(times=3)
    world.inventory.upsert_pool(pool("a", jobsPerWorker=4, database="other", generation=2))
    await world.tick(times=2)
    moved = world.inventory.pools.get("uid-b")
    assert world.inventory.deployment(moved.uid).replicas == 6


async def test_a_pool_that_moves_leaves_no_alarm_behind():
    world = World()
    for name in ("a", "b"):
        world.inventory.upsert_pool(pool(name))
    world.source.depths[Key("a", "t")] = Depth(later=1, next_due_at=world.clock() + 60)
    await world.tick()
    world.inventory.upsert_pool(pool("a", database="other", generation=2))
    world.source.depths.clear()
    await world.tick()
    assert await world.tick(seconds=120) > 0


async def test_a_pool_that_moves_learns_nothing_from_the_other_databases_rows():
    world = World()
    world.inventory.upsert_pool(pool("a"))
    world.inventory.upsert_pool(pool("b"))
    world.due("a", count=40)
    await world.tick()
    world.inventory.upsert_pool(pool("a", database="other", generation=2))
    await world.tick()
    assert "uid-a" not in world.pipeline._histories


async def test_a_database_without_pools_is_in_no_metric():
    world = World()
    seen = []
    world.loop._observe = lambda _name, reading: seen.append(reading)
    world.inventory.upsert_pool(pool("a"))
    world.source.blind = blind()
    await world.tick()
    world.inventory.forget_pool(pool("a"))
    await world.tick()
    assert [reading is None for reading in seen] == [False, True]


async def test_the_last_pool_that_moves_away_is_forgotten_once():
    world = World()
    world.inventory.upsert_pool(pool("a"))
    await world.tick()
    world.inventory.upsert_pool(pool("a", database="other", generation=2))
    await world.tick()
    entry = world.inventory.pools.get("uid-a")
    world.pipeline.advance(entry, await world.source.read([]), None, warnings=(), now=world.clock())
    await world.tick(5, times=3)
    assert "uid-a" in world.pipeline._histories
