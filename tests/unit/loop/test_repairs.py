"""A Deployment that another client changes is repaired, also where nothing else happens to its pool."""

from __future__ import annotations

from jobtide_controller.kube.write.apply import REPAIR_SECONDS, asked_hash, template_hash
from jobtide_controller.kube.write.scaler import KubeWrites
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.writer import Writer
from tests.unit.kube.objects import ScriptedApi, deployment, pool
from tests.unit.loop.world import World

OURS, THEIRS = {"template": {"spec": {}}}, {"template": {"spec": {"hostNetwork": True}}}


def repairing_world():
    """With the writes of production, and an API server that has what was applied last."""
    world = World()
    world.inventory.upsert_pool(pool())
    api = ScriptedApi(lambda *_: as_applied(world, **OURS))
    writer = Writer(api, world.events, leading=lambda: True, window=Window())
    world.begin = lambda: KubeWrites(world.inventory, writer, world.queue, monotonic=world.clock)
    world.inventory.upsert_deployment(as_applied(world, **OURS))
    return world, api


def templates(api):
    return [method for method, path, _ in api.requests if path.endswith("/deployments/thumbs-worker")]


def as_applied(world, **spec):
    entry = world.inventory.pools.get("uid-thumbs")
    raw = deployment(replicas=0, template_hash=template_hash(entry), **spec)
    raw["metadata"]["annotations"]["jobtide.dev/asked-hash"] = asked_hash(entry)
    return raw


async def test_a_change_soon_after_our_own_write_is_repaired_half_a_minute_later():
    world, api = repairing_world()
    await world.tick(times=3)
    world.inventory.upsert_deployment(as_applied(world, **THEIRS))
    await world.tick(1, times=20)
    assert templates(api) == [], "not in a loop"
    await world.tick(REPAIR_SECONDS)
    assert templates(api) == ["PATCH"]


async def test_afterwards_the_pool_is_idle():
    world, api = repairing_world()
    await world.tick(times=3)
    world.inventory.upsert_deployment(as_applied(world, **THEIRS))
    await world.tick(REPAIR_SECONDS, times=5)
    assert world.state().is_idle
    assert templates(api) == ["PATCH"]


async def test_a_leader_that_comes_back_writes_nothing_where_another_leader_applied_a_changed_pool():
    world, api = repairing_world()
    await world.tick(times=3)
    world.lose_the_lease()
    await world.tick()
    world.inventory.upsert_deployment(as_applied(world, **THEIRS))
    world.take_the_lease()
    await world.tick(2 * REPAIR_SECONDS, times=3)
    assert templates(api) == []
