"""One pass over the pools of a database: what is read, decided, written and reported."""

from __future__ import annotations

from jobtide_controller.decide.reading import Depth, Key, PodRun
from jobtide_controller.telemetry.events import Decided, Failed, Ticked
from tests.unit.kube.objects import deployment, pod, pool, refused
from tests.unit.loop.world import unreadable


async def test_a_new_pool_gets_its_deployment_and_a_status(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    await world.tick()
    assert world.applied == [("thumbs", 1)]
    assert world.statuses[0]["desiredReplicas"] == 1


async def test_waiting_jobs_scale_in_the_tick_that_reads_them(world):
    world.inventory.upsert_pool(pool())
    await world.tick()
    world.due(count=8)
    await world.tick()
    assert world.applied == [("thumbs", 0), ("thumbs", 2)]
    assert [(event.before, event.after) for event in world.events.of(Decided)] == [(0, 2)]


async def test_pools_with_jobs_are_decided_before_the_idle(world):
    for number in range(3):
        world.inventory.upsert_pool(pool(f"p{number}", minReplicas=1))
    world.due(count=8, type_="p2")
    await world.tick()
    assert [name for name, _ in world.applied] == ["p2", "p0", "p1"]


async def test_one_reading_a_tick_for_all_pools(world):
    for number in range(50):
        world.inventory.upsert_pool(pool(f"p{number}", types=[f"a{number}", "shared"]))
    await world.tick()
    assert len(world.source.asked) == 1
    assert len(world.source.asked[0]) == 51


async def test_pools_of_another_database_are_left_to_their_own_loop(world):
    world.inventory.upsert_pool(pool("here", minReplicas=1))
    world.inventory.upsert_pool(pool("there", database="other", minReplicas=1))
    await world.tick()
    assert world.source.asked == [["here"]]
    assert world.applied == [("here", 1)]


async def test_without_pools_nothing_is_read(world):
    assert await world.tick() == 5.0
    assert world.source.asked == []


async def test_a_bug_with_one_pool_is_reported_once_and_stops_no_other(world):
    world.bug = ZeroDivisionError("tide")
    world.inventory.upsert_pool(pool("bug", minReplicas=1))
    world.inventory.upsert_pool(pool("good", minReplicas=1))
    await world.tick(times=10)
    assert world.applied == [("good", 1)]
    (failed,) = world.events.of(Failed)
    assert failed.where == "pool media/bug"
    assert "tide" in failed.traceback


async def test_a_deleted_pool_leaves_nothing_behind(world):
    world.inventory.upsert_pool(pool())
    world.due()
    await world.tick()
    world.inventory.forget_pool(pool())
    await world.tick()
    assert world.gauges() == {}
    assert world.terms.current.databases == {}
    assert await world.tick() == 5.0


async def test_a_refused_write_is_in_the_status_until_one_succeeds(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    world.error = refused(403, "Forbidden")
    await world.tick(times=3)
    ready = {condition["type"]: condition for condition in world.statuses[-1]["conditions"]}["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "ApplyFailed")
    assert "refused with 403" in ready["message"]
    world.error = None
    await world.tick(31, times=2)
    ready = {condition["type"]: condition for condition in world.statuses[-1]["conditions"]}["Ready"]
    assert ready["status"] == "True"


async def test_jobs_of_gone_workers_are_rescued_beside_the_tick(world):
    world.inventory.upsert_pool(pool())
    await world.tick(times=3)
    assert len(world.rescuer.readings) == 3
    world.source.failure = unreadable()
    await world.tick()
    assert len(world.rescuer.readings) == 3


async def test_never_fewer_workers_are_asked_for_than_are_busy(world):
    world.inventory.upsert_pool(pool(maxReplicas=8))
    for number in range(3):
        world.inventory.upsert_pod(pod(f"p{number}", ready_at="2026-11-24T12:00:04Z"))
    world.inventory.upsert_deployment(deployment("thumbs", uid="d-thumbs", replicas=8))
    key = Key("thumbs", "t")
    world.source.depths[key] = Depth(running=3)
    world.source.pods = {f"uid-p{number}": PodRun({key: 1}) for number in range(3)}
    await world.tick(10, times=60)
    assert world.applied[-1] == ("thumbs", 3)


async def test_each_tick_is_measured(world):
    world.inventory.upsert_pool(pool())
    world.due(count=1)
    await world.tick()
    (ticked,) = world.events.of(Ticked)
    assert (ticked.database, ticked.keys, ticked.pools) == ("main", 1, 1)
