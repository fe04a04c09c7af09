"""A database that is unreachable, and a controller that does not lead: held, reported once, taken up again."""

from __future__ import annotations

import pytest

from jobtide_controller.telemetry.events import DatabaseFound, DatabaseLost, Decided
from tests.unit.kube.objects import deployment, pool, refused
from tests.unit.loop.world import unreadable


async def test_an_unreadable_database_holds_the_fleet_and_the_status_says_why(world):
    world.inventory.upsert_pool(pool())
    world.due(count=40)
    await world.tick()
    before = list(world.applied)
    world.source.failure, world.source.depths = unreadable(), {}
    await world.tick(60, times=20)
    assert world.applied == before
    conditions = {condition["type"]: condition for condition in world.statuses[-1]["conditions"]}
    assert conditions["DatabaseReachable"]["status"] == "False"
    assert "connection refused" in conditions["DatabaseReachable"]["message"]


async def test_an_outage_is_reported_once_and_so_is_its_end(world):
    world.inventory.upsert_pool(pool())
    await world.tick()
    world.source.failure = unreadable()
    await world.tick(1, times=5)
    world.source.failure = None
    await world.tick(1)
    assert len(world.events.of(DatabaseLost)) == 1
    assert [event.away_seconds for event in world.events.of(DatabaseFound)] == [None, pytest.approx(6.2)]


async def test_an_unreachable_database_is_read_less_and_less_often(world):
    world.inventory.upsert_pool(pool())
    world.source.failure = unreadable()
    pauses = [await world.tick() for _ in range(8)]
    assert pauses[0] <= 0.4
    assert 2.5 <= pauses[-1] <= 5


async def test_a_follower_reads_and_writes_nothing(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    world.leading = False
    await world.tick(times=5)
    assert world.source.asked == []
    assert world.applied == []
    assert world.loop.ticked_at == world.clock(), "yet its loop runs"


async def test_a_follower_keeps_nothing_of_pools_that_come_and_go(world):
    world.leading = False
    for number in range(10):
        world.inventory.upsert_pool(pool(f"p{number}"))
        world.inventory.forget_pool(pool(f"p{number}"))
        await world.tick()
    assert world.inventory.changes.take("main") == set()


async def test_a_new_leader_decides_for_every_pool(world):
    world.inventory.upsert_pool(pool())
    await world.until_idle()
    world.lose_the_lease()
    await world.tick()
    assert world.source.disconnects == 1
    world.take_the_lease()
    looked = world.looks
    await world.tick()
    assert world.looks > looked


async def test_a_restarted_controller_remembers_what_its_status_says_of_the_types(world):
    status = {"types": [{"type": "thumbs", "learned": {"slotSeconds": 600.0, "jobs": 10.0}}]}
    world.inventory.upsert_pool(pool(status=status))
    await world.tick()
    assert world.state().history.learned("thumbs").service_seconds > 50


async def test_a_leader_that_comes_back_reports_no_change_that_another_leader_made(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    await world.until_idle()
    world.lose_the_lease()
    await world.tick()
    world.inventory.upsert_pool(pool(minReplicas=5, generation=2))
    world.inventory.upsert_deployment(deployment(uid="d-thumbs", replicas=5))
    world.take_the_lease()
    before = len(world.events.of(Decided))
    await world.tick(6, times=3)
    assert world.events.of(Decided)[before:] == []


async def test_a_reading_that_comes_after_the_lease_is_lost_changes_nothing(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    read = world.source.read

    async def read_too_late(types, least_limits):
        world.lose_the_lease()
        return await read(types, least_limits)

    world.source.read = read_too_late
    await world.tick(times=2)
    assert (world.gauges(), list(world.terms.database_gauges())) == ({}, [])
    assert (world.applied, world.statuses) == ([], [])


async def test_a_write_that_waits_is_dropped_with_its_term(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    world.error = refused(503)
    await world.tick()
    world.lose_the_lease()
    await world.tick()
    world.error = None
    world.take_the_lease()
    world.inventory.upsert_deployment(deployment(uid="d-thumbs", replicas=1))
    await world.tick(60, times=3)
    assert world.applied == [], "another leader made it so"


async def test_a_lease_that_is_lost_and_taken_between_two_ticks_begins_a_new_term(world):
    world.inventory.upsert_pool(pool())
    await world.until_idle()
    before = world.terms.current
    world.take_the_lease()
    looks = world.looks
    await world.tick()
    assert world.terms.current is not before
    assert world.looks > looks
