"""Pools that share a database's connections, tick by tick: never more than there are, and none waits without need."""

from __future__ import annotations

import pytest

from jobtide_controller.decide.connection_shares import ConnectionRequest
from jobtide_controller.decide.reading import Key, PodRun
from jobtide_controller.decide.scaling import propose
from jobtide_controller.kube.write.apply import ConflictError
from jobtide_controller.loop import pipeline
from jobtide_controller.loop.budget import divide_budget, put_request
from jobtide_controller.loop.term import DatabaseState, PoolState
from jobtide_controller.telemetry.events import Ticked
from tests.unit.kube.objects import deployment, pod, pool
from tests.unit.loop.world import World, unreadable

CONNECTIONS = 12  # six workers
READY_AT = "2026-11-24T12:00:04Z"


@pytest.fixture
def world():
    return World(connections=CONNECTIONS)


def busy_pool(world, name, jobs=40):
    """It needs ten workers."""
    world.inventory.upsert_pool(pool(name, jobsPerWorker=4))
    world.due(name, count=jobs)


def start(world, name, count):
    for number in range(count):
        world.inventory.upsert_pod(pod(f"{name}-{number}", of=name, ready_at=READY_AT))


def drain(world, name, number):
    leaving = {"deletionTimestamp": "2026-11-24T12:30:00Z"}
    world.inventory.upsert_pod(pod(f"{name}-{number}", of=name, ready_at=READY_AT, metadata=leaving))


def end(world, name, number):
    world.inventory.forget_pod(pod(f"{name}-{number}", of=name))


def replicas(world):
    return {entry.ref.name: world.inventory.deployment(entry.uid).replicas for entry in world.inventory.pools}


def replicas_of(world, name):
    return world.inventory.deployment(f"uid-{name}").replicas


def condition(world, name):
    status = next(entry.status for entry in world.inventory.pools if entry.ref.name == name)
    return {one["type"]: one for one in status["conditions"]}["ScalingActive"], status


async def test_pools_that_wake_together_share_what_there_is(world):
    for name in ("a", "b", "c"):
        busy_pool(world, name)
    await world.tick(times=3)
    assert replicas(world) == {"a": 2, "b": 2, "c": 2}


async def test_due_jobs_of_a_pool_with_a_minimum_wait_for_no_minimum_of_idle_pools(world):
    world.inventory.upsert_pool(pool("due", jobsPerWorker=4, minReplicas=2))
    world.due("due", count=40)
    for number in range(5):
        world.inventory.upsert_pool(pool(f"idle-{number}", minReplicas=10_000, maxReplicas=10_000))
    await world.tick(times=3)
    assert replicas(world)["due"] == 3


async def test_a_pool_alone_may_have_all_of_it(world):
    busy_pool(world, "a")
    world.inventory.upsert_pool(pool("idle"))
    await world.tick(times=2)
    assert replicas(world) == {"a": 6, "idle": 0}


async def test_another_pool_begins_when_a_worker_has_ended_and_not_when_it_is_asked_to(world):
    busy_pool(world, "a")
    await world.tick()
    start(world, "a", 6)
    world.due("a", count=0)
    busy_pool(world, "b")
    await world.tick(times=3)
    assert replicas(world) == {"a": 3, "b": 0}
    drain(world, "a", 5)
    await world.tick(times=3)
    assert replicas(world) == {"a": 3, "b": 0}
    end(world, "a", 5)
    await world.tick()
    assert replicas(world) == {"a": 3, "b": 1}, "in the tick after its end"


async def test_busy_workers_stay_until_their_jobs_end(world):
    busy_pool(world, "a")
    await world.tick()
    start(world, "a", 6)
    world.source.pods = {f"uid-a-{number}": PodRun({Key("a", "t"): 4}) for number in range(5)}
    world.due("a", count=0)
    busy_pool(world, "b")
    await world.tick(times=3)
    assert replicas(world) == {"a": 5, "b": 0}
    end(world, "a", 5)
    await world.tick()
    assert replicas(world) == {"a": 5, "b": 1}


async def test_an_idle_pool_below_its_minimum_gets_it_as_soon_as_there_is_room(world):
    busy_pool(world, "a")
    await world.tick()
    start(world, "a", 6)
    world.source.pods = {f"uid-a-{number}": PodRun({Key("a", "t"): 4}) for number in range(6)}
    world.inventory.upsert_pool(pool("b", minReplicas=1))
    await world.tick(times=20)
    assert replicas(world) == {"a": 6, "b": 0}
    world.due("a", count=0)
    del world.source.pods["uid-a-5"]
    await world.tick()
    end(world, "a", 5)
    await world.tick()
    assert replicas(world) == {"a": 5, "b": 1}


async def test_idle_pools_with_a_budget_are_not_looked_at(world):
    for number in range(100):
        world.inventory.upsert_pool(pool(f"p{number:03}", minReplicas=int(number < 3)))
    for number in range(3):
        start(world, f"p{number:03}", 1)
    await world.until_idle()
    looked = world.looks
    await world.tick(times=50)
    assert world.looks == looked
    assert {event.pools for event in world.events.of(Ticked)[-50:]} == {0}


async def test_one_pool_that_works_wakes_no_idle_one(world):
    for number in range(20):
        world.inventory.upsert_pool(pool(f"p{number:03}"))
    busy_pool(world, "a", jobs=1)
    await world.tick(10, times=50)
    assert world.events.of(Ticked)[-1].pools == 1


async def test_the_condition_says_how_many_connections_are_shared_and_how_many_the_pool_has(world):
    busy_pool(world, "a")
    await world.tick()
    start(world, "a", 6)
    await world.tick(6, times=3)
    scaling, status = condition(world, "a")
    assert (scaling["status"], scaling["reason"], status["reason"]) == (
        "False",
        "CappedByConnections",
        "CappedByConnections",
    )
    assert "of the 12 that the workers of all pools of main share, this pool has 12" in scaling["message"]
    assert status["limits"][0] == {"name": "ConnectionBudget", "before": 10, "after": 6, "limit": 6.0}
    assert "10 -> 6 limited by the database's connections (6 workers)" in status["message"]


async def test_an_outage_changes_no_share(world):
    for name in ("a", "b"):
        busy_pool(world, name)
    await world.tick(times=2)
    for name in ("a", "b"):
        start(world, name, 3)
    world.source.failure = unreadable()
    await world.tick(60, times=10)
    assert replicas(world) == {"a": 3, "b": 3}


async def test_a_new_leader_divides_again(world):
    busy_pool(world, "a")
    await world.tick()
    world.lose_the_lease()
    await world.tick()
    world.take_the_lease()
    busy_pool(world, "b")
    await world.tick(times=3)
    assert replicas(world) == {"a": 3, "b": 3}


async def test_a_deleted_pool_leaves_its_connections_to_the_others(world):
    for name in ("a", "b"):
        busy_pool(world, name)
    await world.tick(times=2)
    world.inventory.forget_pool(pool("b"))
    del world.source.depths[Key("b", "t")]
    await world.tick(times=2)
    assert replicas(world) == {"a": 6}


def test_without_a_budget_no_pool_has_a_share():
    assert DatabaseState(None, {"a": PoolState(None)}).share("a") is None


def test_only_pools_whose_number_changed_are_named():
    state = DatabaseState(8, {"a": PoolState(None), "b": PoolState(None)})
    assert put_request(state, "a", ConnectionRequest(2))
    assert divide_budget(state) == {"a"}
    assert put_request(state, "b", ConnectionRequest(1))
    assert divide_budget(state) == {"b"}
    assert not put_request(state, "b", ConnectionRequest(1)), "nothing new"
    assert divide_budget(state) == set()
    assert state.gauges.granted == 6


async def test_each_pool_is_decided_once_a_tick(world, monkeypatch):
    proposed = []
    monkeypatch.setattr(pipeline, "propose", lambda *given: proposed.append(1) or propose(*given))
    for number in range(10):
        busy_pool(world, f"p{number}", jobs=4 + number)
    await world.tick()
    assert len(proposed) == 10


async def test_a_pool_in_conflict_keeps_no_connections_from_the_others(world):
    for name in ("a", "b"):
        busy_pool(world, name)
    conflict = ConflictError(409, "Conflict", "Deployment b-worker exists")
    world.refuses = lambda uid: conflict if uid == "uid-b" else None
    await world.tick(times=3)
    assert world.inventory.deployment("uid-a").replicas == 6
    world.refuses = lambda _uid: None
    await world.tick(60, times=3)
    assert replicas(world) == {"a": 3, "b": 3}, "it asks for its own as soon as it can have it"


def refuse(world, name):
    """Its user gives it a spec that can't be used."""
    world.inventory.upsert_pool(pool(name, generation=2, types=["a\0b"]))


async def test_a_pool_that_becomes_refused_gives_back_at_once_what_its_workers_do_not_hold(world):
    for name in ("a", "b"):
        busy_pool(world, name)
    await world.tick(times=2)
    start(world, "a", 3)
    refuse(world, "b")
    world.inventory.upsert_deployment(deployment("b", uid="d-b", replicas=1))
    await world.tick(times=2)
    assert replicas(world) == {"a": 5, "b": 1}
    world.inventory.upsert_deployment(deployment("b", uid="d-b", replicas=0))
    await world.tick(times=2)
    assert replicas(world) == {"a": 6, "b": 0}


async def test_workers_of_a_refused_pool_stay_so_their_connections_are_not_given_away(world):
    for name in ("a", "b"):
        busy_pool(world, name)
    await world.tick(times=2)
    for name in ("a", "b"):
        start(world, name, 3)
    refuse(world, "b")
    await world.tick(times=3)
    assert replicas(world) == {"a": 3, "b": 3}
    world.lose_the_lease()
    await world.tick()
    world.take_the_lease()
    await world.tick(times=3)
    assert replicas(world) == {"a": 3, "b": 3}, "a new leader counts them too, though it knows no request"


async def test_a_refused_pool_that_is_deleted_leaves_its_connections_to_the_others(world):
    for name in ("a", "b"):
        busy_pool(world, name)
    await world.tick(times=2)
    refuse(world, "b")
    await world.tick()
    world.inventory.forget_pool(pool("b"))
    await world.tick(times=2)
    assert replicas(world) == {"a": 6}


async def test_a_pool_with_a_bug_asks_for_what_it_holds_until_it_is_decided_again(world):
    busy_pool(world, "bug")
    busy_pool(world, "a")
    world.bug = ZeroDivisionError("tide")
    await world.tick(times=100)
    assert replicas_of(world, "a") == 6
    assert all(number == 6 for _, number in world.applied[1:]), "also while the other is tried again"
    world.bug = None
    await world.tick(60, times=3)
    assert replicas(world) == {"a": 3, "bug": 3}, "it asks for its own again, also without a change of it"
