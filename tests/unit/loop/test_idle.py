"""An idle pool costs nothing, and misses nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobtide_controller.decide.reading import Depth, Key
from jobtide_controller.render.stalled import NODE_SECONDS
from tests.unit.kube.objects import deployment, pod, pool
from tests.unit.kube.waiting import NO_ROOM


async def test_idle_pools_are_not_looked_at(world):
    for number in range(20):
        world.inventory.upsert_pool(pool(f"p{number}"))
    await world.until_idle()
    looked, ticks = world.looks, len(world.source.asked)
    await world.tick(0.2, times=100)
    assert world.looks == looked
    assert len(world.source.asked) == ticks + 100


async def test_an_idle_pool_wakes_up_for_jobs_of_its_types_alone(world):
    world.inventory.upsert_pool(pool("a"))
    world.inventory.upsert_pool(pool("b"))
    await world.until_idle()
    world.applied.clear()
    world.due("b", count=8)
    await world.tick()
    assert world.applied == [("b", 2)]


async def test_an_idle_pool_wakes_up_when_it_changes(world):
    world.inventory.upsert_pool(pool())
    await world.until_idle()
    world.inventory.upsert_pool(pool(generation=2, minReplicas=3))
    await world.tick()
    assert world.applied[-1] == ("thumbs", 3)


async def test_a_pool_whose_pod_has_no_node_stalls_by_time_alone(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    await world.until_idle()
    made = {"creationTimestamp": datetime.fromtimestamp(world.clock(), UTC).isoformat()}
    world.inventory.upsert_pod(pod(phase="Pending", metadata=made, conditions=[NO_ROOM]))
    await world.tick(NODE_SECONDS - 1)
    assert "Unschedulable" not in world.statuses[-1]["reason"]
    await world.tick(1, times=10)
    assert world.statuses[-1]["reason"] == "Unschedulable"


async def test_another_clients_number_of_replicas_is_overruled(world):
    world.inventory.upsert_pool(pool(minReplicas=2))
    await world.until_idle()
    world.inventory.upsert_deployment(deployment("thumbs", uid="d-thumbs", replicas=9))
    await world.tick(120, times=3)
    assert world.applied[-1] == ("thumbs", 2)


async def test_a_pool_that_becomes_idle_has_reported_its_last_numbers(world):
    world.inventory.upsert_pool(pool())
    world.due(count=3)
    await world.tick()
    world.source.depths = {}
    await world.until_idle()
    assert world.statuses[-1]["pending"] == 0
    assert world.statuses[-1]["desiredReplicas"] == 0


async def test_a_long_idle_time_is_no_gap_in_what_was_seen(world):
    world.inventory.upsert_pool(pool())
    await world.until_idle()
    await world.tick(0.2, times=3)
    world.due(count=100, arrivals=100)
    await world.tick()
    history = world.state().history
    assert history.read_at == world.clock()
    assert sum(piece.rows for pieces in history.flow.values() for piece in pieces) == 100


async def test_the_loop_wakes_up_for_a_scheduled_job_early_by_a_pods_start(world):
    world.inventory.upsert_pool(pool())
    await world.tick()
    now = world.clock() + 0.2
    world.source.depths[Key("thumbs", "t")] = Depth(later=1, next_due_at=now + 10.15)
    pause = await world.tick()
    assert pause == pytest.approx(0.15)
    await world.tick(pause)
    assert world.applied[-1] == ("thumbs", 1)


def _hourly(**limits):
    return [{"name": "hourly", "cron": "30 * * * *", "durationSeconds": 600, **limits}]


async def test_an_idle_pool_wakes_up_when_a_window_begins_and_when_it_ends(world):
    world.inventory.upsert_pool(pool(schedules=_hourly(minReplicas=3)))
    await world.until_idle()
    world.applied.clear()
    half_past = (world.clock() // 3_600 + 1) * 3_600 + 1_800
    await world.tick(half_past - 20.5 - world.clock())
    assert world.applied == []
    pause = await world.tick(0.2)
    assert pause == pytest.approx(0.3 - 0.2, abs=0.21)
    await world.tick(0.5)
    assert world.applied == [("thumbs", 3)]
    await world.tick(600)
    assert world.applied == [("thumbs", 3)]
    await world.tick(25, times=3)
    assert world.applied == [("thumbs", 3), ("thumbs", 0)]


async def test_between_two_windows_idle_pools_cost_nothing(world):
    for number in range(20):
        world.inventory.upsert_pool(pool(f"p{number}", schedules=_hourly(minReplicas=1)))
    await world.until_idle()
    while (world.clock() // 60) % 60 not in range(5, 20):
        await world.tick(60)
    await world.until_idle()
    looked, statuses = world.looks, len(world.statuses)
    await world.tick(0.2, times=100)
    assert (world.looks, len(world.statuses)) == (looked, statuses)


async def test_a_window_that_changes_no_number_is_shown_when_it_begins(world):
    world.inventory.upsert_pool(pool(schedules=_hourly(maxReplicas=3)))
    await world.until_idle()
    half_past = (world.clock() // 3_600 + 1) * 3_600 + 1_800
    await world.tick(half_past - 30 - world.clock())
    await world.tick(30)
    (active,) = world.statuses[-1]["schedule"]["active"]
    assert (active["name"], active["decides"]) == ("hourly", ["maxReplicas"])
    written = len(world.statuses)
    await world.tick(60, times=9)
    assert len(world.statuses) == written
