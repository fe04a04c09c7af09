"""A Deployment that somebody else changes is put right, also where nothing else happens to its pool."""

from __future__ import annotations

from jobtide_controller.kube.write.apply import REPAIR_SECONDS, Applier, asked_hash, template_hash
from jobtide_controller.kube.write.rate_limit import Pace
from jobtide_controller.kube.write.writer import Writer
from tests.unit.kube.objects import ScriptedApi, deployment, pool
from tests.unit.loop.world import World

OURS, THEIRS = {"template": {"spec": {}}}, {"template": {"spec": {"hostNetwork": True}}}


def repairing_world():
    """With the applier of production, and an API server that has what was applied last."""
    world = World()
    world.inventory.upsert_pool(pool())
    api = ScriptedApi(lambda *_: as_applied(world, **OURS))
    writer = Writer(api, world.events, leading=lambda: True, pace=Pace(monotonic=world.clock))
    world.pipeline._applier = Applier(world.inventory, writer, monotonic=world.clock)
    world.inventory.upsert_deployment(as_applied(world, **OURS))
    return world, api


def as_applied(world, **spec):
    entry = world.inventory.pools.get("uid-thumbs")
    raw = deployment(replicas=0, template_hash=template_hash(entry), **spec)
    raw["metadata"]["annotations"]["jobtide.dev/asked-hash"] = asked_hash(entry)
    return raw


async def test_what_is_changed_soon_after_our_own_write_is_put_right_half_a_minute_later():
    world, api = repairing_world()
    await world.tick(times=3)
    world.inventory.upsert_deployment(as_applied(world, **THEIRS))
    await world.tick(1, times=20)
    assert api.requests == [], "not in a loop"
    await world.tick(REPAIR_SECONDS)
    assert [method for method, *_ in api.requests] == ["PATCH"]


async def test_afterwards_the_pool_rests():
    world, api = repairing_world()
    await world.tick(times=3)
    world.inventory.upsert_deployment(as_applied(world, **THEIRS))
    await world.tick(REPAIR_SECONDS, times=5)
    assert world.loop._resting == {"uid-thumbs"}
    assert len(api.requests) == 1
