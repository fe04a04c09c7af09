"""Long loops that let other tasks run."""

from __future__ import annotations

import asyncio

from jobtide_controller.loop.cooperative import Turns
from tests.unit.kube.objects import Clock


async def test_other_tasks_run_between_two_turns_and_their_time_does_not_count():
    clock, order = Clock(), []

    async def other() -> None:
        order.append("other")
        clock.pass_(60)

    turns = Turns(2, monotonic=clock)
    task = None
    async for item in turns.of(range(4)):
        if item == 1:
            task = asyncio.create_task(other())
        order.append(item)
        clock.pass_(0.5)
    assert task is not None
    await task
    assert order == [0, 1, "other", 2, 3]
    assert turns.held_seconds == 2.0


async def test_all_loops_of_a_tick_count():
    clock = Clock()
    turns = Turns(20, monotonic=clock)
    for _ in range(2):
        async for _item in turns.of(range(3)):
            clock.pass_(0.5)
    assert turns.held_seconds == 3.0
