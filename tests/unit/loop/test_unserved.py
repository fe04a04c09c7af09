"""Types with waiting jobs that no pool handles: shown by one pool of each namespace that may use the database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobtide_controller.decide.reading import Unserved
from jobtide_controller.decide.unserved import EVENT_SECONDS
from jobtide_controller.telemetry.events import TypesUnserved
from tests.unit.kube.objects import pool
from tests.unit.loop.world import Source, World

WAITED = Unserved(12, 90.0)


class UnservedSource(Source):
    def __init__(self) -> None:
        super().__init__()
        self.unserved: dict[str, Unserved] = {}

    async def read(self, types, least_limits):
        return replace(await super().read(types, least_limits), unserved=dict(self.unserved))


@pytest.fixture
def world():
    return World(source=UnservedSource(), namespaces={"main": ("media", "crm")})


def elsewhere(name, namespace, **spec):
    made = pool(name, **spec)
    made["metadata"]["namespace"] = namespace
    return made


def unserved_of(world, name):
    return world.inventory.pools.get(f"uid-{name}").status["unserved"]


async def test_the_first_pool_of_each_namespace_names_it_and_no_other(world):
    for made in (pool("b"), pool("a"), elsewhere("c", "crm"), elsewhere("foreign", "elsewhere", types=["video"])):
        world.inventory.upsert_pool(made)
    await world.tick(10)
    world.source.unserved = {"video": WAITED, "young": Unserved(5, 2.0)}
    await world.tick(10, times=3)
    shown = [{"type": "video", "pending": 12, "oldestSeconds": 90}]
    assert [unserved_of(world, name) for name in ("a", "b", "c", "foreign")] == [shown, [], shown, []]
    (event,) = world.events.of(TypesUnserved)
    assert sorted(str(ref) for ref, _ in event.pools) == ["crm/c", "media/a"]
    assert "'video' (12)" in event.message
    assert dict(world.terms.database_gauges())["main"].unserved == {"video": 12}


async def test_it_is_gone_when_a_pool_handles_the_type(world):
    world.inventory.upsert_pool(pool("a"))
    world.source.unserved = {"video": WAITED}
    await world.tick(10, times=3)
    assert unserved_of(world, "a")
    world.inventory.upsert_pool(pool("z", types=["video"]))
    await world.tick(10, times=3)  # the reading still has it
    assert unserved_of(world, "a") == []
    assert [event.types for event in world.events.of(TypesUnserved)] == [("video",), ()]


async def test_an_idle_pool_shows_it_too(world):
    world.inventory.upsert_pool(pool("a"))
    await world.until_idle()
    world.source.unserved = {"video": WAITED}
    await world.tick(10)
    assert unserved_of(world, "a")


async def test_new_types_every_second_are_an_event_every_ten_minutes(world):
    world.inventory.upsert_pool(pool("a"))
    for number in range(60):
        world.source.unserved = {f"type {number}": WAITED}
        await world.tick(1)
    assert len(world.events.of(TypesUnserved)) == 1
    world.source.unserved = {"another": WAITED}
    await world.tick(EVENT_SECONDS)
    assert len(world.events.of(TypesUnserved)) == 2
