"""A write that waits while the decision changes back."""

from __future__ import annotations

from tests.unit.kube.objects import pool, refused
from tests.unit.loop.world import World


def ready(world):
    conditions = {condition["type"]: condition for condition in world.statuses[-1]["conditions"]}
    return conditions["Ready"]["status"], conditions["Ready"]["reason"]


async def test_a_number_that_is_out_of_date_is_not_written_late():
    world = World()
    world.inventory.upsert_pool(pool(minReplicas=1, replicas=1))
    await world.until_idle()
    world.error = refused(500)
    world.inventory.upsert_pool(pool(minReplicas=1, replicas=9, generation=2))
    await world.tick()
    world.inventory.upsert_pool(pool(minReplicas=1, replicas=1, generation=3))
    await world.tick()
    world.error = None
    world.applied.clear()
    world.clock.pass_(60)
    world.queue._pump()
    await world.tick(times=3)
    assert world.applied == []


async def test_a_pool_with_nothing_to_write_shows_no_old_refusal():
    world = World()
    world.inventory.upsert_pool(pool(minReplicas=1, replicas=1))
    await world.until_idle()
    world.error = refused(500)
    world.inventory.upsert_pool(pool(minReplicas=1, replicas=9, generation=2))
    await world.tick(times=3)
    assert ready(world) == ("False", "ApplyFailed")
    world.inventory.upsert_pool(pool(minReplicas=1, replicas=1, generation=3))
    await world.tick(6, times=3)
    assert ready(world) == ("True", "Applied")
