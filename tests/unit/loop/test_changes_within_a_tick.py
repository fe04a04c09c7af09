"""What changes while a tick is under way: a pool between its two steps, the lease, the database that a pool names."""

from __future__ import annotations

import asyncio

import pytest

from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.loop.database_loop import DatabaseLoop
from jobtide_controller.telemetry.events import DatabaseLost, Failed
from tests.unit.kube.objects import deployment, pool, settle
from tests.unit.loop.world import Source, World, unreadable


def after_the_proposal_of(world, name, change):
    """The watch delivers `change` at the next pause of the tick."""
    propose = world.loop._pipeline.propose

    def observed(entry, *rest):
        proposal = propose(entry, *rest)
        if entry.ref.name == name and not world.statuses:
            asyncio.get_running_loop().call_soon(change)
        return proposal

    world.loop._pipeline.propose = observed


async def test_a_pool_that_is_deleted_after_its_proposal_is_no_bug():
    world = World(connections=12)
    for name in ("a", "b"):
        world.inventory.upsert_pool(pool(name))
    after_the_proposal_of(world, "b", lambda: world.inventory.forget_pool(pool("b")))
    await world.tick()
    assert world.events.of(Failed) == []
    assert world.applied == [("a", 0)]


async def test_a_pool_that_is_paused_after_its_proposal_starts_no_worker():
    world = World(connections=40)
    world.inventory.upsert_pool(pool("a", jobsPerWorker=4))
    world.inventory.upsert_pool(pool("b"))
    world.due("a", count=40)
    paused = pool("a", jobsPerWorker=4, paused=True, generation=2)
    after_the_proposal_of(world, "b", lambda: world.inventory.upsert_pool(paused))
    await world.tick(times=2)
    assert dict(world.applied)["a"] == 0


@pytest.mark.parametrize("connections", [None, 12])
async def test_pools_with_jobs_come_first_with_and_without_a_budget(connections):
    world = World(connections=connections)
    for number in range(5):
        world.inventory.upsert_pool(pool(f"a{number}"))
    world.inventory.upsert_pool(pool("z", jobsPerWorker=4))
    world.due("z")
    await world.tick()
    assert world.applied[0][0] == "z"


async def test_a_status_that_a_lapse_of_the_lease_dropped_is_written_in_the_next_term():
    world = World()
    world.inventory.upsert_pool(pool())
    await world.loop.run_once()
    world.lose_the_lease()
    await settle()
    assert world.statuses == []
    world.take_the_lease()
    await world.tick(10, times=3)
    assert world.inventory.pools.get("uid-thumbs").status is not None


async def test_a_write_that_fails_after_its_term_is_not_tried_again():
    world = World()
    world.inventory.upsert_pool(pool())
    answered = asyncio.Event()

    async def slow(*_):
        await answered.wait()
        raise ApiError(0, "", "timed out")

    world.converge = slow
    await world.loop.run_once()
    await settle()
    world.lose_the_lease()
    assert world.terms.current is None
    answered.set()
    await settle()
    assert len(world.queue) == 0


async def test_a_moved_pool_is_in_the_metrics_once():
    world, there = World(), Source()
    there.name, there.clock = "other", world.clock
    world.inventory.upsert_pool(pool())
    await world.tick()
    loop = DatabaseLoop(
        there, world.inventory.pools, world.loop._pipeline, world.rescuer, world.terms,
        emit=world.events, wall_clock=world.clock, monotonic=world.clock,
    )  # fmt: skip
    world.inventory.upsert_pool(pool(generation=2, database="other"))
    hanging = asyncio.create_task(hang(world))
    await loop.run_once()
    assert len(list(world.terms.pool_gauges())) == 1
    hanging.cancel()


async def hang(world):
    """A tick of the first database, which does not answer."""
    world.source.read = lambda _types: asyncio.Event().wait()
    await world.loop.run_once()


async def test_an_outage_that_outlasts_a_term_is_reported_once():
    world = World()
    world.inventory.upsert_pool(pool())
    world.source.failure = unreadable()
    await world.tick(5, times=2)
    world.lose_the_lease()
    await world.tick()
    world.take_the_lease()
    await world.tick(5, times=2)
    assert len(world.events.of(DatabaseLost)) == 1


async def test_pools_that_wait_to_roll_are_idle():
    world = World()
    for number in range(8):
        world.inventory.upsert_pool(pool(f"p{number}"))
        world.inventory.upsert_deployment(deployment(f"p{number}", uid=f"d-p{number}", replicas=0))
    await world.until_idle()
    assert all(state.wake_at is None for state in world.database.pools.values())
