"""A pool that moves to another database: the first loop must not keep anything of it."""

from __future__ import annotations

from jobtide_controller.decide.reading import Depth, Key
from jobtide_controller.loop.term import PoolState
from tests.unit.kube.objects import pool
from tests.unit.loop.world import World, unreadable


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


async def test_a_pool_that_moves_leaves_no_wake_up_behind():
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
    assert world.state("a") is None


async def test_a_database_without_pools_is_in_no_metric():
    world = World()
    world.inventory.upsert_pool(pool("a"))
    world.source.failure = unreadable()
    await world.tick()
    assert [name for name, _ in world.terms.database_gauges()] == ["main"]
    world.inventory.forget_pool(pool("a"))
    await world.tick()
    assert list(world.terms.database_gauges()) == []


async def test_the_other_databases_loop_keeps_its_own_record_of_a_pool_that_moved_there():
    world = World()
    world.inventory.upsert_pool(pool("a"))
    await world.tick()
    other = world.terms.current.database("other", None)
    record = other.pools["uid-a"] = PoolState(world.begin().scaler("uid-a"))
    world.inventory.upsert_pool(pool("a", database="other", generation=2))
    await world.tick(5, times=3)
    assert other.pools == {"uid-a": record}
