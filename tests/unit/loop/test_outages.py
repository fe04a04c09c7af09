"""A database that is away, and a controller that did not lead: held, told once, taken up again."""

from __future__ import annotations

import pytest

from jobtide_controller.telemetry.events import DatabaseFound, DatabaseLost, Decided
from tests.unit.kube.objects import deployment, pool
from tests.unit.loop.world import blind


async def test_an_unreadable_database_holds_the_fleet_and_says_why(world):
    world.inventory.upsert_pool(pool())
    world.due(count=40)
    await world.tick()
    before = list(world.applier.applied)
    world.source.blind, world.source.depths = blind(), {}
    await world.tick(60, times=20)
    assert world.applier.applied == before
    conditions = {condition["type"]: condition for condition in world.statuses[-1]["conditions"]}
    assert conditions["DatabaseReachable"]["status"] == "False"
    assert "connection refused" in conditions["DatabaseReachable"]["message"]


async def test_an_outage_is_told_once_and_so_is_its_end(world):
    world.inventory.upsert_pool(pool())
    await world.tick()
    world.source.blind = blind()
    await world.tick(1, times=5)
    world.source.blind = None
    await world.tick(1)
    assert len(world.events.of(DatabaseLost)) == 1
    assert [event.away_seconds for event in world.events.of(DatabaseFound)] == [None, pytest.approx(6.2)]


async def test_a_database_that_is_away_is_asked_less_and_less_often(world):
    world.inventory.upsert_pool(pool())
    world.source.blind = blind()
    pauses = [await world.tick() for _ in range(8)]
    assert pauses[0] <= 0.4
    assert 2.5 <= pauses[-1] <= 5


async def test_a_follower_reads_and_writes_nothing(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    world.leading = False
    await world.tick(times=5)
    assert world.source.asked == []
    assert world.applier.applied == []
    assert world.loop.ticked_at == world.clock(), "yet its loop turns"


async def test_a_follower_keeps_nothing_of_pools_that_come_and_go(world):
    world.leading = False
    for number in range(10):
        world.inventory.upsert_pool(pool(f"p{number}"))
        world.inventory.forget_pool(pool(f"p{number}"))
        await world.tick()
    assert world.inventory.changes.take("main") == set()


async def test_a_new_leader_decides_for_every_pool(world):
    world.inventory.upsert_pool(pool())
    await world.until_at_rest()
    world.leading = False
    await world.tick()
    assert world.source.rested == 1
    world.leading = True
    looked = world.applier.looked
    await world.tick()
    assert world.applier.looked > looked


async def test_a_restarted_controller_remembers_what_its_status_says_of_the_types(world):
    status = {"types": [{"type": "thumbs", "learned": {"slotSeconds": 600.0, "jobs": 10.0}}]}
    world.inventory.upsert_pool(pool(status=status))
    await world.tick()
    assert world.pipeline._histories["uid-thumbs"].learned("thumbs").service_seconds > 50


async def test_a_leader_that_comes_back_tells_no_change_that_another_made_meanwhile(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    await world.until_at_rest()
    world.leading = False
    await world.tick()
    world.inventory.upsert_pool(pool(minReplicas=5, generation=2))
    world.inventory.upsert_deployment(deployment(uid="d-thumbs", replicas=5))
    world.leading = True
    before = len(world.events.of(Decided))
    await world.tick(6, times=3)
    assert world.events.of(Decided)[before:] == []


async def test_a_reading_that_comes_after_the_lease_is_lost_stays_in_no_metric(world):
    world.inventory.upsert_pool(pool())
    read, observed = world.source.read, []
    world.loop._observe = lambda _name, reading: observed.append(reading)

    async def read_too_late(types):
        world.leading = False
        world.board.outcomes.clear()  # as LeaderChanged has it
        return await read(types)

    world.source.read = read_too_late
    await world.tick(times=2)
    assert world.board.outcomes == {}
    assert observed[-1] is None
