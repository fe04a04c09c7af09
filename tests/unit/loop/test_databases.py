"""One loop for each database that pools name: it begins with the first pool, and ends with the last."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from jobtide_controller.loop import databases
from jobtide_controller.loop.databases import Loops
from tests.unit.kube.objects import pool
from tests.unit.loop.world import World


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(databases, "CHECK_SECONDS", 0.001)


@asynccontextmanager
async def running(world, ended):
    loops = Loops(world.inventory.pools.databases, lambda _name: world.loop, ended.append)
    task = asyncio.create_task(loops.run())
    yield loops
    task.cancel()
    await asyncio.wait({task})


async def until(condition):
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    pytest.fail("the loops do not do it")


async def test_loop_ends_with_the_last_pool_and_begins_again_with_the_next():
    world, ended = World(), []
    async with running(world, ended) as loops:
        for number in range(1, 4):
            world.inventory.upsert_pool(pool(uid=f"u{number}"))
            await until(lambda: loops.beats() and world.terms.current.databases and world.database.pools)
            world.inventory.forget_pool(pool(uid=f"u{number}"))
            await until(lambda: not loops.beats())
            assert ended == ["main"] * number
            assert not world.terms.current.databases


async def test_loop_ends_while_another_controller_leads_too():
    world, ended = World(), []
    world.lose_the_lease()
    async with running(world, ended) as loops:
        world.inventory.upsert_pool(pool())
        await until(loops.beats)
        world.inventory.forget_pool(pool())
        await until(lambda: ended == ["main"])
        assert not loops.beats()
