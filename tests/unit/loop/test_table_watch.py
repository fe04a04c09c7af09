"""The health of the table: looked at beside the ticks, and shown by all pools when it lasts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobtide.table_health import Holder, TableHealth
from jobtide_controller.decide.table_health import LOOK_SECONDS, LOOKS
from jobtide_controller.loop.ports import LookFailedError
from jobtide_controller.telemetry.events import TableJudged
from tests.unit.kube.objects import pool
from tests.unit.loop.world import Source, World, unreadable

WELL = TableHealth(8192, 10, 0, 1.0, 50, None, ())
OLD = replace(WELL, holders=(Holder("session", "7", "733", 5, 8_000.0),))


class LookedAt(Source):
    def __init__(self):
        super().__init__()
        self.table, self.looks, self.error = WELL, 0, None

    async def look_at_table(self):
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self.table


@pytest.fixture
def world():
    world = World(source=LookedAt())
    for name in ("one", "two"):
        world.inventory.upsert_pool(pool(name))
    return world


def shown(world):
    """The condition by pool, as last written; None: never."""
    return [_condition(world.inventory.pools.get(f"uid-{name}").status or {}) for name in ("one", "two")]


def _condition(status):
    found = [one for one in status.get("conditions", ()) if one["type"] == "TableHealthy"]
    return (found[0]["status"], found[0]["reason"]) if found else None


async def look(world, times=1):
    for _ in range(times):
        await world.tick(LOOK_SECONDS)
        await world.tick(times=2)


async def test_a_look_is_taken_each_half_minute_however_often_the_database_is_read(world):
    await world.tick(times=int(LOOK_SECONDS / 0.2))
    assert (world.source.looks, len(world.source.asked)) == (1, 150)
    await world.tick()
    assert world.source.looks == 2


async def test_every_pool_shows_an_old_snapshot_that_lasts_and_its_end(world):
    await look(world)
    assert shown(world) == [("True", "Healthy")] * 2
    world.source.table = OLD
    await look(world, LOOKS - 1)
    assert shown(world) == [("True", "Healthy")] * 2
    await look(world)
    assert shown(world) == [("False", "OldSnapshot")] * 2
    world.source.table = WELL
    await look(world, LOOKS)
    assert shown(world) == [("True", "Healthy")] * 2
    assert [event.reason for event in world.events.of(TableJudged)] == ["OldSnapshot", "Healthy"]


async def test_looks_that_find_the_same_write_nothing(world):
    world.source.table = OLD
    await look(world, LOOKS)
    world.statuses.clear()
    for seconds in range(8_000, 9_000, 100):
        world.source.table = replace(OLD, holders=(replace(OLD.holders[0], seconds=float(seconds)),))
        await look(world)
    assert world.statuses == []


async def test_what_cannot_be_looked_at_is_unknown_and_has_no_metric(world):
    await look(world)
    world.source.error = LookFailedError("canceling statement due to lock timeout")
    await look(world)
    assert world.database.gauges.table is None
    assert shown(world) == [("True", "Healthy")] * 2, "one look that fails says nothing"
    await look(world, LOOKS)
    assert shown(world) == [("Unknown", "NotReadable")] * 2


async def test_an_unreadable_database_is_not_looked_at(world):
    world.source.failure = unreadable()
    await look(world, 3)
    assert world.source.looks == 0
    assert shown(world) == [("Unknown", "Unreachable")] * 2


async def test_another_leader_keeps_what_the_status_says_until_its_first_look(world):
    world.source.table = OLD
    await look(world)
    world.lose_the_lease()
    await world.tick()
    world.take_the_lease()
    world.statuses.clear()
    await world.tick(times=2)
    assert shown(world) == [("False", "OldSnapshot")] * 2
    assert world.statuses == []


async def test_what_is_found_after_the_lease_was_lost_is_dropped(world):
    await world.tick()
    state = world.database
    state.table.health = None
    world.lose_the_lease()
    await world.loop._table.look(state, lambda: False)
    assert state.table.health is None
